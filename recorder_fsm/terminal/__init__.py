"""What people see of a command: colours and tables where there is a terminal, plain lines elsewhere.

`screen` knows what the output can show, `progress` draws a bar, `stopping` makes Ctrl-C an orderly stop, and
`command_line` is the help, the examples and the suggestions of the commands. `recovering` is what is seen of `recover`.
`run` uses none of it: its output is a log.
"""
