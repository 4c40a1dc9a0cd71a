"""The doctor: whether this host or container can record, before a meeting finds out.

`findings` is what a check returns, and how checks run side by side. Each other module is a group of checks, listed in
`examination`: the machine (`host`), the programs (`programs`), what Chromium's sandbox needs (`sandbox`), the server
(`server`), and a short capture that is measured (`stage`, `fonts`, `capture`). `wishes` are the settings, as far as
they are right; `verdict` shows it all. Nothing is changed: no file and no process stays, and the server is only asked.
"""
