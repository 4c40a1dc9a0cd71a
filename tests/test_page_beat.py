"""How often the page draws: no more often than the recording needs, where Chromium can keep the recording's beat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recorder_fsm.browser.profile import prepare
from tests.browser_stage import held

SHORTEST_MS = """new Promise((done) => {
  const at = [];
  const draw = (now) => {
    at.push(now);
    if (at.length < 20) requestAnimationFrame(draw);
    else done(Math.min(...at.slice(1).map((one, i) => one - at[i])));
  };
  requestAnimationFrame(draw);
})"""
"""The least time between two of the page's frames, by the compositor's clock: a busy machine makes it longer only."""
SOME_LOCAL_STATE = "performance_tuning"


async def test_page_draws_thirty_times_in_a_second_for_half_as_many_frames() -> None:
    """At 60 Hz three of four drawings are never seen."""
    async with held(frame_rate=15) as everything:
        await everything.load()
        assert float(str(await everything.evaluate(SHORTEST_MS))) > 30


@pytest.mark.parametrize(
    ("frame_rate", "saves"), [(10, True), (15, True), (12, False), (20, False), (30, False), (60, False)]
)
def test_chromium_saves_energy_where_it_keeps_the_beat(tmp_path: Path, frame_rate: int, saves: bool) -> None:
    """Each frame takes as many drawings as the one before, and at least two: a video loses frames at its own rate."""
    prepare(tmp_path, frame_rate)
    local_state = json.loads((tmp_path / "profile" / "Local State").read_text())
    assert (SOME_LOCAL_STATE in local_state) is saves
    assert "auth" in local_state  # what else is said there
