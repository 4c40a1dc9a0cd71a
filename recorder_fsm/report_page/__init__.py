"""The report of a job as one page of HTML that needs nothing else: no network, no script to be read.

`evidence` reads what a job left, whatever state it is in; `story` makes plain facts of it; `page` writes them, with
`charts` and `markup`; `writer` puts the page where it belongs. All that comes from a job is hostile text: `evidence`
masks and shortens it, and `markup` escapes it.
"""
