"""What would keep the call out of the picture: added switches, a window of another size, a display of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.harness.recorder_process import recorder
from recorder_fsm.analysis import video
from recorder_fsm.resources.display import Display
from recorder_fsm.standin.server import StandIn
from recorder_fsm.system.process import ChildProcess
from tests.end_to_end.test_recording import NEAR, assert_good_pattern
from tests.faults.programs import path_with
from tests.faults.scene import Fault, Row, published, recording
from tests.programs import ENV

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]

CANNOT_RECORD = (
    "--headless=new --ozone-platform=headless --window-size=1280x720 --window-position=50,50 --enable-automation "
    "--user-data-dir=/nowhere/at/all --remote-debugging-port=0 --no-startup-window --mute-audio "
    "--autoplay-policy=document-user-activation-required --use-fake-ui-for-media-stream=deny"
)


SMALLER = """for word; do
    shift
    case $word in --window-size=*) word=--window-size=800,600 ;; esac
    set -- "$@" "$word"
done
exec /usr/bin/chromium "$@"
"""


@pytest.mark.parametrize("scale", ["1", pytest.param("1.5", marks=pytest.mark.slow)])
async def test_switches_that_cannot_record_are_left_out(standin: StandIn, data: Path, row: MakeRow, scale: str) -> None:
    """The recording is as good as without them, at every scale of the page, and each is named with a reason."""
    made = row("S11 switches" if scale == "1" else f"S11 scale {scale}", "switches that cannot record are added")
    added = f"{CANNOT_RECORD} --force-device-scale-factor={scale}"
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data, EXTRA_CHROMIUM_ARGS=added) as run:
        fault = Fault(made, standin, run)
        await run.recorded(5)
        line = run.chromium().cmdline()
        standin.stop_recording(ids.recording_id)
        await fault.ends(0)
    path = published(standin, ids)
    if scale == "1":
        await assert_good_pattern(path, seconds=5)
    corners = await video.corners(path, 2.5)  # of a page whose counter is too large to be read
    assert not corners.edge_rows_black
    for pixel, wanted in zip(
        (corners.top_left, corners.top_right, corners.bottom_left, corners.bottom_right),
        ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
        strict=True,
    ):
        assert pixel == pytest.approx(wanted, abs=NEAR)
    for word in CANNOT_RECORD.split():
        assert word not in line
        assert len([one for one in run.lines if one["level"] == "WARNING" and f" {word} is" in one["message"]]) == 1
    assert f"--force-device-scale-factor={scale}" in line
    made.noticed, made.published = "warning for each", "all of it"


async def test_page_that_does_not_fill_the_picture_ends_the_start(
    standin: StandIn, data: Path, row: MakeRow, tmp_path: Path
) -> None:
    """A window that something else made smaller: the call is told, and the cause has the numbers."""
    made = row("S11 size", "a browser whose window is smaller than the picture")
    path = path_with(tmp_path / "bin", chromium=SMALLER)
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data, PATH=path) as run:
        fault = Fault(made, standin, run)
        await fault.ends(0)
    fault.nothing_published()
    assert "does not fill the picture" in fault.told()
    made.noticed = run.report["cause"]["code"]
    assert made.noticed == "page_size"
    assert "800x600 at 0,0, the picture 1280x720" in run.report["cause"]["detail"]


async def test_call_that_is_shown_elsewhere_ends_the_start(
    standin: StandIn, data: Path, row: MakeRow, tmp_path: Path
) -> None:
    """The page has the right size and draws the call, and the display that is recorded is black."""
    made = row("S11 elsewhere", "a browser that shows the call on another display")
    async with Display(width=1280, height=720, runtime=tmp_path, env=ENV) as other:
        away = " ".join(f"{name}={value}" for name, value in other.env.items())
        path = path_with(tmp_path / "bin", chromium=f'exec env {away} /usr/bin/chromium "$@"')
        ids = standin.create_call(scene={"mode": "pattern"})
        async with recorder(standin, ids, data, PATH=path) as run:
            fault = Fault(made, standin, run)
            await fault.ends(0)
    fault.nothing_published()
    assert "picture is black" in fault.told()
    made.noticed = run.report["cause"]["code"]
    assert made.noticed == "picture_black"


@pytest.mark.slow
async def test_picture_that_stops_to_arrive_is_told_in_the_thread(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Something black lies over the call: the sound is recorded on, people are told, and the report has it."""
    made = row("R6 covered", "a black window over the call, which goes on below it")
    async with recording(made, standin, data, scene={"mode": "call"}) as fault:
        environment = fault.run.child("ffmpeg", "x11grab").environ()
        of_display = {name: environment[name] for name in ("DISPLAY", "XAUTHORITY")}
        black = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "color=black:s=1280x720:r=2"]
        window = ["-pix_fmt", "yuv420p", "-window_x", "0", "-window_y", "0", "-f", "sdl2", "black"]
        cover = await ChildProcess.spawn("cover", [*black, *window], env={**ENV, **of_display})
        try:
            fault.inject(lambda: None)
            await fault.noticed("picture_lost", 25.0)
            await standin.state.wait_for(lambda: standin.state.thread_posts, limit_s=10)
        finally:
            await cover.stop()
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        await fault.published()
    (post,) = standin.state.thread_posts
    assert post.message.endswith("The recorder's picture is black. The recording goes on without a picture.")
    assert [report.status for report in standin.state.statuses] == ["started"]
    assert any("what the call page draws is not" in note for note in fault.run.report["notes"])
