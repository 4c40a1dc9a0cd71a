"""recorder-fsm: records one Mattermost call per process.

Read `lifecycle` first: its table says every state, event and resource. `job` walks that table, `steps` does the
work of each state, and one module per resource (`display`, `sound`, `browser`, `capture`) owns what it starts.
`recording` finishes the file, `mattermost` publishes it, `journal` remembers across restarts. `cli` is the only
room that touches the process: its environment, its signals, its exit code. `standin` is a small local Mattermost
for the demo and the tests; nothing else imports it.
"""

__version__ = "0.1.0"
