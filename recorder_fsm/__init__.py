"""recorder-fsm: records one Mattermost call per process.

Read `machine.lifecycle` first: its tables say every state, event, resource and transition. `machine.runner` walks them,
`steps` does the work of each state, and one module of `resources` owns each program. `media` has what is known
of ffmpeg, `browser` what is known of Chromium and the call page, `mattermost` the plugin's bot API, `storage` what
stays on the volume. `app` puts one job together; `cli` is the only module that touches the process: its environment,
its signals, its exit code. `standin` is a small local Mattermost for the demo and the tests; nothing else imports it.
"""

__version__ = "0.1.0"
