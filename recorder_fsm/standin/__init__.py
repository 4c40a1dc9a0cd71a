"""A small local Mattermost with the Calls plugin's bot API, for the demo and the tests.

    server.py     StandIn: one server with its data directory; serve() for the command line
    state.py      what the server knows: calls, jobs, posts, files, sessions, its request log
    calls.py      the life of calls and jobs: create, start, stop, end, leave
    botapi.py     filename, job status, save        uploads.py   upload sessions
    coreapi.py    the bits of /api/v4 and of the plugin that the call page and a careful recorder ask
    posts.py      posts and channels by Mattermost's own API     core_uploads.py   its upload sessions
    events.py     connections and what is sent      websocket.py  the websocket's own talk
    access.py     who is asking                     scene.py     what the call page draws
    knobs.py      settings and faults as JSON       faults.py    faults applied to requests
    network.py    resets, the dropped network       requestlog.py   one line per request
    pages.py      files of pages/                   channel.py   the thread that people watch
    launcher.py   recorders started as an offloader would
    control.py    the /standin/* calls for tests and people

It stands in for Mattermost where the recorder can see it, and nowhere else: no accounts, no media server, no
database.
"""

from __future__ import annotations

from recorder_fsm.standin.server import StandIn, serve
from recorder_fsm.standin.state import CallIds

__all__ = ["CallIds", "StandIn", "serve"]
