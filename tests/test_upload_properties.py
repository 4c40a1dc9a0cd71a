"""Any small set of faults: the server ends up with exactly our bytes, and with one post."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.mattermost.retry import PartSizes, RetryTiming
from recorder_fsm.standin import StandIn
from tests.answers import OFF, OWN

LARGEST = 3000
TIMING = RetryTiming(
    first_wait_s=0, settle_s=0, connect_s=2, read_s=2, call_limit_s=4, watch_s=0.02, new_sessions=9, post_settle_s=0
)

Fault = dict[str, Any]


def fault(route: str, **fields: Any) -> st.SearchStrategy[Fault]:
    fixed = {name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in fields.items()}
    return st.fixed_dictionaries({"route": st.just(route), "skip": st.integers(0, 4), **fixed})


BYTES = st.integers(0, LARGEST)
TROUBLE = st.sampled_from([500, 502, 503, 429, 404, 401, 403, 409, 302, 200])
"""Pages of a proxy, whatever number they have."""
FEW = st.integers(1, 3)
ON_THE_WAY = st.one_of(
    fault("upload_create", kind=st.sampled_from(["reset", "drop_reply"])),
    fault("upload_create", kind="status", status=TROUBLE),
    fault("upload_get", kind=st.sampled_from(["reset", "drop_reply"])),
    fault("upload_get", kind="status", status=TROUBLE),
    fault("upload_data", kind="cut_at", at_byte=BYTES),
    fault("upload_data", kind=st.sampled_from(["reset", "drop_reply", "busy"]), times=st.integers(1, 3)),
    fault("upload_data", kind="status", status=TROUBLE),
    fault("upload_data", kind="ends_at", at_byte=BYTES),
    fault("upload_data", kind="spoil_reply", status=st.sampled_from([504, 404, 200, 302]), times=FEW),
    fault("upload_get", kind="stale_offset", times=FEW),
    fault("file_info", kind="status", status=TROUBLE, times=FEW),
    fault("plugin", kind="status", times=FEW, **OFF),
    fault("upload_data", kind="status", status=413, times=0, above_bytes=BYTES.map(lambda size: size + 100)),
    fault("config", kind="status", status=500),
    fault("save", kind=st.sampled_from(["reset", "drop_reply"])),
    fault("save", kind="status", status=TROUBLE, times=FEW),
    fault("save", kind=st.sampled_from(["spoil_reply", "post_only"]), times=FEW),
    fault("thread", kind="status", status=TROUBLE, times=FEW),
    fault("post", kind="status", status=502),
)
# One offset out of the air per upload: two that agree cannot be told from the truth.
WRONG_OFFSET = fault("upload_get", kind="lie_offset", at_byte=BYTES)
VANISHED = fault("upload_data", kind="status", **OWN["404"])
NOT_KEPT = fault("upload_data", kind="no_progress", times=st.integers(1, 3))
FAULTS = st.tuples(st.lists(ON_THE_WAY, max_size=4), st.one_of(st.none(), WRONG_OFFSET, NOT_KEPT, VANISHED)).map(
    lambda pair: pair[0] + ([pair[1]] if pair[1] else [])
)


async def deliver(folder: Path, size: int, part: int, limit: int, faults: list[Fault]) -> None:
    data = random.Random(size).randbytes(size)  # noqa: S311
    file = folder / "Call.mp4"
    file.write_bytes(data)
    async with StandIn(data_dir=folder / "server", knobs={"five_mib_rule": False, "max_file_size": limit}) as server:
        ids = server.create_call()
        bot = CallsBot(
            site_url=server.url,
            token=ids.token,
            call_id=ids.call_id,
            post_id=ids.post_id,
            recording_id=ids.recording_id,
            timing=TIMING,
            sizes=PartSizes(part=part, first_part=1, smallest=50),
        )
        server.set_faults(*faults)
        seen: list[str] = []
        file_id = await bot.upload(
            file,
            begun=None,
            on_session=lambda begun: seen.append(begun.session_id),
            time_left=lambda: 60.0,
            on_progress=lambda done, total: None,
        )
        await bot.save(file_id, lambda: 60.0)
        assert server.uploaded(file_id).read_bytes() == data
        assert len(server.state.posts) == 1
        assert server.state.files[file_id].post_id == server.state.posts[0].id
        assert server.state.posts[0].file_id == file_id
        assert seen[-1] == next(one.id for one in server.state.sessions.values() if one.file_id == file_id)
        bot.close()


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, LARGEST),
    part=st.integers(100, 1500),
    limit=st.integers(100, LARGEST),
    faults=FAULTS,
)
@example(
    size=1000,
    part=400,
    limit=LARGEST,
    faults=[
        {"route": "upload_data", "kind": "cut_at", "at_byte": 300},
        {"route": "upload_get", "kind": "lie_offset", "at_byte": 100},
    ],
)
@example(
    size=1000,
    part=400,
    limit=LARGEST,
    faults=[
        {"route": "upload_data", "kind": "drop_reply", "skip": 1},
        {"route": "upload_get", "kind": "stale_offset", "skip": 1},
    ],
)
@example(
    size=1000,
    part=400,
    limit=LARGEST,
    faults=[{"route": "upload_data", "kind": "spoil_reply", "status": 504, "skip": 2, "times": 3}],
)
@example(size=1000, part=400, limit=LARGEST, faults=[{"route": "upload_get", "kind": "stale_offset", "times": 3}])
@example(size=900, part=300, limit=LARGEST, faults=[{"route": "upload_data", "kind": "drop_reply", "times": 9}])
def test_bytes_and_post_survive_faults(size: int, part: int, limit: int, faults: list[Fault]) -> None:
    """Cut, repeated, delayed, refused for a while or lied to once: one complete file, one post."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(deliver(Path(folder), size, part, limit, faults))
