"""What people may have seen: from the first `started` that may be heard on, a recording is published, or kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from bench.harness.recorder_process import recorder
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from tests.faults.often import slow_but
from tests.faults.pending import recovering
from tests.faults.scene import Fault, Row, published

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
SECONDS = 3.0

# The plugin takes each `started`, and its reply gets lost, is late, or is replaced by the page of a proxy.
UNHEARD_REPLIES: dict[str, dict[str, Any]] = {
    "reply lost": {"kind": "drop_reply"},
    "reply that comes too late": {"kind": "late_reply", "delay_s": 60},
    "502 in place of the reply": {"kind": "spoil_reply", "status": 502},
}

# The same, and nothing reaches the plugin.
NEVER_TAKEN: dict[str, dict[str, Any]] = {
    "502": {"kind": "status", "status": 502},
    "404 of a server whose plugin is off": {
        "kind": "status", "status": 404, "body": "404 page not found\n", "content_type": "text/plain",
    },
}  # fmt: skip


async def host_stops(fault: Fault) -> None:
    fault.standin.stop_recording(fault.run.ids.recording_id)


async def call_ends(fault: Fault) -> None:
    fault.standin.end_call(fault.run.ids.call_id)


async def sigterm(fault: Fault) -> None:
    fault.run.process.terminate()


async def network_goes(fault: Fault) -> None:
    fault.standin.drop_network(4)
    fault.run.process.terminate()


async def killed(fault: Fault) -> None:
    fault.run.process.kill()


ENDS: dict[str, Callable[[Fault], Awaitable[None]]] = {
    "the host stops it": host_stops,
    "the call ends": call_ends,
    "SIGTERM": sigterm,
    "the network goes, SIGTERM": network_goes,
    "killed, started again": killed,
}


async def ended(standin: StandIn, data: Path, made: Row, fault: dict[str, Any], end: str) -> Fault:
    """Record a call whose `started` has that fault each time, and end it; returns the process that ended it."""
    standin.set_faults({"route": "status", "times": 0, **fault})
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        recording = Fault(made, standin, run)
        await run.recorded(SECONDS)
        await ENDS[end](recording)
        code = await run.exit_code()
    if end == "killed, started again":
        assert code != 0
        async with recorder(standin, ids, data) as again:
            recording = Fault(made, standin, again)
            code = await again.exit_code()
    made.exit_code = code
    return recording


OFTEN = [
    ("reply lost", "the host stops it"),
    ("reply lost", "killed, started again"),
    ("reply that comes too late", "SIGTERM"),
    ("502 in place of the reply", "the host stops it"),
    ("502", "SIGTERM"),
]


@pytest.mark.parametrize(("reply", "end"), slow_but(OFTEN, product(UNHEARD_REPLIES, ENDS)))
async def test_recording_that_people_saw_is_published(
    standin: StandIn, data: Path, row: MakeRow, reply: str, end: str
) -> None:
    """The plugin told everybody, and we have no answer, however it ends: it is posted once, and it is whole."""
    made = row("announced", f"`started`: {reply}; {end}")
    over = await ended(standin, data, made, UNHEARD_REPLIES[reply], end)
    assert made.exit_code == 0, over.run.text
    facts = await probe(published(standin, over.run.ids))
    assert facts.duration_s >= SECONDS - 0.5
    made.published = f"{facts.duration_s:.1f} s"


@pytest.mark.parametrize(
    ("answer", "end"), slow_but(OFTEN, product(NEVER_TAKEN, ["the host stops it", "SIGTERM", "killed, started again"]))
)
async def test_recording_that_nobody_was_told_of_is_kept(
    standin: StandIn, data: Path, row: MakeRow, answer: str, end: str
) -> None:
    """Nothing is posted of which nobody knew; it is not thrown away either, and `recover` is a person's word."""
    made = row("announced", f"`started`: {answer}, each time; {end}; then `recover`")
    over = await ended(standin, data, made, NEVER_TAKEN[answer], end)
    over.nothing_published()
    assert made.exit_code == 1, over.run.text
    assert over.run.report["cause"]["code"] == made.noticed or not made.noticed
    made.noticed = over.run.report["cause"]["code"]
    assert made.noticed == "nobody_told"
    assert len(list(over.run.job_dir.glob("*.mp4"))) == 1
    standin.set_faults()
    async with recovering(standin, over.run.ids, data, str(data)) as run:
        assert await run.exit_code() == 0, run.text
    facts = await probe(published(standin, over.run.ids))
    assert facts.duration_s >= SECONDS - 0.5
    made.published = "kept, then all of it"


async def test_recording_that_cannot_have_been_announced_is_discarded(
    standin: StandIn, data: Path, row: MakeRow
) -> None:
    """Each try was turned away at the door: it never existed for anybody."""
    made = row("announced", "`started`: 429, each time; SIGTERM")
    standin.set_faults({"route": "status", "kind": "status", "status": 429, "times": 0})
    async with recorder(standin, standin.create_call(scene={"mode": "pattern"}), data) as run:
        over = Fault(made, standin, run)
        # In the pause behind the reply: a try that is on its way may be heard.
        await run.seen(lambda _: sum("429; next try" in line["message"] for line in run.lines) >= 2)
        await sigterm(over)
        made.exit_code = await run.exit_code()
    over.nothing_published()
    assert list(over.run.job_dir.glob("*.mp4")) == []
