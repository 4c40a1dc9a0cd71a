"""What people see: Chromium plays a joined recording over its gap, and jumps around it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from recorder_fsm.media.call_timeline import CallTimeline
from recorder_fsm.media.join import ALL, Span, join
from tests.test_call_timeline import ANNA, BERT, HOSTILE, event
from tests.test_join import GRAIN_S, REORDERED, ZEROLATENCY, segment

PAGE = """<!doctype html><meta charset=utf-8><video id=v muted preload=auto></video><script>
const v = document.getElementById('v'), c = new OffscreenCanvas(128, 16).getContext('2d', {willReadFrequently: true});
v.onerror = () => { window.problem = v.error.message };
function number() {
  c.drawImage(v, 0, 0);
  const line = c.getImageData(0, 8, 128, 1).data;
  let n = 0;
  for (let bit = 0; bit < 16; bit++) if (line[4 * (8 * bit + 4)] > 126) n |= 1 << bit;
  return n;
}
function jump(to) { return new Promise(done => {
  v.addEventListener('seeked', () => setTimeout(() => done(number()), 200), {once: true}); v.currentTime = to; }) }
function play(from, until) { return new Promise(done => {
  const seen = []; const began = performance.now();
  const look = () => {
    seen.push([v.currentTime, number()]);
    if (v.currentTime >= until || v.ended || performance.now() - began > 30000) { v.pause(); done(seen) }
    else setTimeout(look, 40) };
  jump(from).then(() => v.play()).then(look) }) }
</script>"""


class _Ranges(SimpleHTTPRequestHandler):
    """Serves files in parts, as Mattermost does: without that, Chromium cannot jump."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        if not wanted:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        begin, end = wanted.removeprefix("bytes=").split("-")
        first, last = int(begin), min(int(end or len(data)), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "page.html").write_text(PAGE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
            yield page
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


def load(page: Page) -> Any:
    return page.evaluate("""new Promise((done, failed) => {
        v.src = 'joined.mp4'; v.oncanplay = () => done(v.duration); v.onerror = () => failed(v.error.message) })""")


DRAWN_LATE_S = 0.5
"""How much later than its time a frame may be drawn on a busy machine."""
DRAWN_EARLY_S = 0.1
"""`currentTime` follows the audio's clock in steps: a frame may be there before it."""
OTHER = ("-preset", "medium", "-g", "30", "-bf", "2")


@pytest.mark.parametrize(
    ("first", "second"),
    [(ZEROLATENCY, ZEROLATENCY), (REORDERED, REORDERED), (ZEROLATENCY, OTHER), (OTHER, ZEROLATENCY)],
    ids=["zerolatency", "reordered", "other-sets", "other-sets-first"],
)
def test_recording_plays_over_a_gap_and_jumps_around_it(
    player: Page, tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    """Over the gap the last frame stands; each place that a person jumps to shows its own frame."""
    paths = [
        segment(tmp_path / "live.mp4", 0, 4, codec=first),
        segment(tmp_path / "live-2.mp4", 6, 4, codec=second),
        segment(tmp_path / "live-3.mp4", 11, 2, codec=first),
    ]
    chapters = [(0.0, "Anna"), (4.0, "山田 花子"), (11.0, "Anna shares a screen")]  # which Chromium passes over
    report = join(paths, tmp_path / "joined.mp4", ALL, chapters)
    assert load(player) == pytest.approx(report.length_s, abs=0.03)
    places = ((5.0, 119), (6.51, 195), (3.51, 105), (12.01, 360), (0.51, 15), (9.01, 270), (5.9, 119), (10.5, 299))
    for at_s, number in places:
        assert player.evaluate(f"jump({at_s})") == number, at_s
    seen = player.evaluate("play(3.0, 8.0)")
    assert seen[-1][0] >= 8.0
    assert len(seen) > 20
    for at_s, number in seen:
        assert expected(at_s - DRAWN_LATE_S) <= number <= expected(at_s + DRAWN_EARLY_S), at_s
    held = [number for at_s, number in seen if 4 + DRAWN_LATE_S < at_s < 5.9]
    assert set(held) == {119}
    assert player.evaluate("window.problem") is None


def expected(at_s: float) -> int:
    return 119 if 4 <= at_s < 6 else int(at_s * 30)


@pytest.mark.parametrize(("first", "second"), [(OTHER, ZEROLATENCY), (ZEROLATENCY, OTHER)], ids=["down", "up"])
def test_recording_plays_through_a_change_of_the_preset_and_jumps_around_it(
    player: Page, tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    """The two encoders overlap by more than a second; nobody sees where the one follows the other."""
    paths = [
        segment(tmp_path / "live.mp4", 0, 5.4, codec=first),
        segment(tmp_path / "live-2.mp4", 4, 4, codec=second),
    ]
    report = join(paths, tmp_path / "joined.mp4")
    assert report.gaps == ()
    assert load(player) == pytest.approx(8, abs=0.03)
    for at_s in (4.51, 3.51, 4.02, 3.97, 6.01, 0.51, 5.41, 7.51):
        assert player.evaluate(f"jump({at_s})") == int(at_s * 30), at_s
    seen = player.evaluate("play(3.0, 6.5)")
    assert seen[-1][0] >= 6.5
    for at_s, number in seen:
        assert (at_s - DRAWN_LATE_S) * 30 - 1 <= number <= (at_s + DRAWN_EARLY_S) * 30, at_s
    assert player.evaluate("window.problem") is None


def test_recording_jumps_over_a_gap_of_minutes(player: Page, tmp_path: Path) -> None:
    """A frame that lasts for five minutes is one that Chromium can jump into, and plays to its end."""
    paths = [segment(tmp_path / "live.mp4", 0, 3), segment(tmp_path / "live-2.mp4", 303, 3)]
    join(paths, tmp_path / "joined.mp4")
    assert load(player) == pytest.approx(306, abs=0.03)
    for at_s, number in ((150, 89), (304.01, 9120), (302, 89), (1.01, 30), (303.51, 9105)):
        assert player.evaluate(f"jump({at_s})") == number, at_s
    seen = player.evaluate("play(301.5, 304.5)")
    assert seen[-1][0] >= 304.5
    assert {number for at_s, number in seen if at_s < 302.9} == {89}


@pytest.mark.parametrize("codec", [ZEROLATENCY, REORDERED], ids=["zerolatency", "reordered"])
@pytest.mark.parametrize("begin_s", [0.4, 3.2])
def test_recording_begins_with_what_was_on_the_screen_then(
    player: Page, tmp_path: Path, codec: tuple[str, ...], begin_s: float
) -> None:
    """The frames that lead up to its begin pass unseen; all behind it is in its place, played or jumped to."""
    report = join([segment(tmp_path / "live.mp4", 0, 6, codec=codec)], tmp_path / "joined.mp4", Span(begin_s, 5.5))
    assert load(player) == pytest.approx(report.length_s, abs=0.03)
    grain_s = round(begin_s / GRAIN_S) * GRAIN_S
    for at_s in (0.02, 0.05, 1.01, 0.31, 2.01, 0.02):
        assert player.evaluate(f"jump({at_s})") == int((at_s + grain_s) * 30), at_s
    seen = player.evaluate("play(0.0, 1.5)")
    assert seen[-1][0] >= 1.5
    for at_s, number in seen:
        assert (at_s + grain_s - DRAWN_LATE_S) * 30 - 1 <= number <= (at_s + grain_s + DRAWN_EARLY_S) * 30, at_s
    assert player.evaluate("window.problem") is None


CUES = """new Promise((done, failed) => {
    const track = document.createElement('track'), shown = cue => cue.getCueAsHTML();
    const told = cue => [cue.startTime, cue.endTime, shown(cue).firstChild.title, shown(cue).textContent];
    track.onload = () => done([...track.track.cues].map(told));
    track.onerror = failed;
    track.src = 'timeline.vtt?' + Math.random();
    track.default = true;
    v.append(track);
    track.track.mode = 'hidden' })"""


def test_browser_reads_the_cues_as_they_were_meant(player: Page, tmp_path: Path) -> None:
    """Each cue at its time, with its voice, whatever somebody is called; none is forged, and none is lost."""
    events = [event(n, kind, who) for n, (kind, who) in enumerate(
        [("voice_on", ANNA), ("voice_off", ANNA), ("voice_on", BERT), ("screen_on", BERT), ("voice_off", BERT)]
    )]  # fmt: skip
    for name in HOSTILE:
        names = {ANNA: name, BERT: "Zoë & <b>"}
        made = CallTimeline.of(events, head_s=0, length_s=3700, names=names, coarse=False)
        (tmp_path / "timeline.vtt").write_text(made.to_webvtt(), encoding="utf-8")
        cues = player.evaluate(CUES)
        assert [(begin, end, words) for begin, end, _, words in cues] == [
            (0, 1, "speaks"),
            (2, 4, "speaks"),
            (3, 3700, "shares a screen"),
        ]
        assert [voice for _, _, voice, _ in cues[1:]] == ["Zoë & <b>"] * 2
        assert cues[0][2] == made.names[ANNA]
