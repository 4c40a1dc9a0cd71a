"""Who spoke when, after a kill: what the page told is on the volume, and the next start makes of it what it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recorder_fsm.standin.scene import PEOPLE
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.end_to_end.test_timeline import COPIES
from tests.faults.pending import Clip, leave, restarted
from tests.faults.scene import Row
from tests.faults.test_hooks import on_end

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


@pytest.mark.parametrize("served", [True, False], ids=["names", "no names"])
async def test_next_start_has_what_the_page_told(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip, served: bool
) -> None:
    """A recorder that was killed wrote it down; a server that tells no names costs the names alone."""
    first, second = (str(one["id"]) for one in PEOPLE[:2])
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    events = [[0.5, "voice_on", first, first], [3.0, "screen_on", second, second], [3.0, "voice_off", first, first]]
    (folder / "people.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in events))
    if not served:
        standin.set_faults({"route": "users", "kind": "status", "status": 500, "times": 0})
    async with restarted(
        Row("", ""), standin, ids, data, TIMELINE="chapters", ON_END=on_end(COPIES, str(data))
    ) as fault:
        await fault.ends(0)
    found = json.loads((data / "timeline.json").read_text())
    names = [str(one["name"]) for one in PEOPLE[:2]] if served else ["Participant 1", "Participant 2"]
    assert [one["name"] for one in found["people"]] == names
    assert [(one["what"], one["begin_s"], one["end_s"]) for one in found["spans"] if one["what"] != "present"] == [
        ("voice", 0.5, 3.0),
        ("screen", 3.0, pytest.approx(6, abs=0.2)),
    ]
    assert {path.name for path in folder.iterdir()} == {"recorder.log", "report.json"}


async def test_timeline_is_off_unless_asked_for(standin: StandIn, ids: CallIds, data: Path, small_clip: Clip) -> None:
    """Nobody's name is asked for, and nothing is written."""
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    (folder / "people.jsonl").write_text(f"{json.dumps([0.5, 'voice_on', 'a' * 26, 'a' * 26])}\n")
    async with restarted(Row("", ""), standin, ids, data) as fault:
        await fault.ends(0)
    assert standin.requests("users") == []
    assert {path.name for path in folder.iterdir()} == {"recorder.log", "report.json"}
