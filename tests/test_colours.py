"""Colours: what was on the page is what people see in the recording, pixel against pixel."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page

from recorder_fsm.media.encode import TAGGED
from recorder_fsm.media.join import join
from recorder_fsm.media.output_file import RecordingFiles
from recorder_fsm.media.probe import remux_command
from recorder_fsm.media.timeline import Timeline
from tests.browser_stage import Held, held
from tests.programs import ENV, Stage, ask, until

COLOURS = list(product((0, 64, 128, 192, 255), repeat=3))
COLUMNS, PATCH = 13, 48
NEAR = 3
"""Of 255: the file holds luma in 220 steps and chroma in 225, and the encoder loses some more."""
TAGS = {"color_range": "tv", "color_space": "bt709", "color_transfer": "iec61966-2-1", "color_primaries": "bt709"}

PATCHES = f"""<!doctype html><style>* {{ margin: 0 }} canvas {{ display: block }}</style><canvas></canvas><script>
const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
[canvas.width, canvas.height] = [innerWidth, innerHeight];
{json.dumps(COLOURS)}.forEach(([r, g, b], n) => {{
  pen.fillStyle = `rgb(${{r}} ${{g}} ${{b}})`;
  pen.fillRect({PATCH} * (n % {COLUMNS}), {PATCH} * Math.floor(n / {COLUMNS}), {PATCH}, {PATCH});
}});
</script>"""

PLAYER = f"""<!doctype html><script>
const colours = (drawable, width, height) => {{
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(drawable, 0, 0);
  const middle = (place) => {PATCH} * place + {PATCH // 2};
  return Array.from({{length: {len(COLOURS)}}}, (_, n) => [...pen.getImageData(
    middle(n % {COLUMNS}), middle(Math.floor(n / {COLUMNS})), 1, 1).data].slice(0, 3));
}};
const of_video = async (source, at_s) => {{
  const video = document.createElement("video");
  Object.assign(video, {{src: source, muted: true, preload: "auto"}});
  await new Promise((done, failed) => {{
    video.onloadeddata = done;
    video.onerror = () => failed(video.error.message);
  }});
  video.currentTime = at_s;
  await new Promise((done) => (video.onseeked = done));
  return colours(video, video.videoWidth, video.videoHeight);
}};
const of_image = async (source) => {{
  const image = new Image();
  image.src = source;
  await image.decode();
  return colours(image, image.naturalWidth, image.naturalHeight);
}};
</script>"""


@pytest.fixture
async def up() -> AsyncIterator[Held]:
    async with held() as everything:
        yield everything


async def recorded(up: Held, folder: Path) -> tuple[Path, Path, Path]:
    """Record the page of patches; returns the segment, the finished file and its poster."""

    async def patches() -> web.StreamResponse:
        return web.Response(text=PATCHES, content_type="text/html")

    up.site.pages["/patches"] = patches
    await up.load("/patches")
    timeline = Timeline()
    async with Stage(up.display, up.audio, up.runtime).capture(folder, timeline):
        await until(lambda: timeline.progress.position_s >= 2)
    segment, finished, poster = timeline.segments[0].path, folder / "finished.mp4", folder / "poster.png"
    files = RecordingFiles(ENV)
    await files.finalise([segment], finished)
    assert await files.take_poster(finished, poster, 2.0)
    return segment, finished, poster


@asynccontextmanager
async def player(up: Held, folder: Path) -> AsyncIterator[Page]:
    """Yield a page of another Chromium that plays what is in `folder`: one that draws as with a graphics card.

    Without one, Chromium's own conversion of BT.709 is 12 of 255 off at pure blue, whatever the file says.
    """

    async def page() -> web.StreamResponse:
        return web.Response(text=PLAYER, content_type="text/html")

    up.site.pages["/player"] = page
    for file in folder.iterdir():
        up.site.pages[f"/{file.name}"] = _served(file)
    browser = await up.driver.playwright.chromium.launch(
        executable_path="/usr/bin/chromium",
        args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
    )
    try:
        shown = await browser.new_page()
        await shown.goto(f"{up.site.origin}/player")
        yield shown
    finally:
        await browser.close()


def _served(file: Path) -> Any:
    async def answer() -> web.StreamResponse:
        return web.FileResponse(file)

    return answer


async def tags(path: Path) -> dict[str, str]:
    """Return what ffprobe says of the colours of the video."""
    entries = f"stream={','.join(TAGS)}"
    command = ("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "json", str(path))
    seen = await ask(*command, env={})
    (stream,) = json.loads(seen.stdout)["streams"]
    return {name: stream.get(name, "not said") for name in TAGS}


def differences(seen: list[list[int]]) -> dict[tuple[int, ...], list[int]]:
    """Return the colours that are not what was on the page, with what was seen of each."""
    pairs = zip(COLOURS, seen, strict=True)
    return {was: is_ for was, is_ in pairs if max(abs(a - b) for a, b in zip(was, is_, strict=True)) > NEAR}


async def test_people_see_the_colours_of_the_page(up: Held, tmp_path: Path) -> None:
    """In the finished file and in its poster, at a size at which players would take untagged colours for BT.601."""
    segment, finished, poster = await recorded(up, tmp_path)
    async with player(up, tmp_path) as shown:
        assert differences(await shown.evaluate(f"of_video('/{finished.name}', 1)")) == {}
        assert differences(await shown.evaluate(f"of_image('/{poster.name}')")) == {}
    rewritten = tmp_path / "rewritten.mp4"
    assert (await ask(*remux_command(segment, rewritten), env={})).returncode == 0
    for file in (finished, segment, rewritten):  # whichever of them is published
        await assert_tagged(file, tmp_path)


async def assert_tagged(path: Path, folder: Path) -> None:
    """The container says how to read the colours, and so does the video itself."""
    assert await tags(path) == TAGS
    assert b"colrnclx" in path.read_bytes()
    bare = folder / "bare.h264"
    copied = await ask(
        "ffmpeg", "-v", "error", "-y", "-i", str(path), "-map", "0:v", "-c", "copy", "-f", "h264", str(bare), env={}
    )
    assert copied.returncode == 0, copied.stderr
    assert await tags(bare) == TAGS


OLD, NEW = "format=yuv420p", f"scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd,{TAGGED}"
"""How the encoder was given the screen by earlier releases, which said nothing of colours, and how it is."""


async def test_segment_of_an_earlier_release_keeps_its_colours(up: Held, tmp_path: Path) -> None:
    """An untagged one is not tagged by a join with another: at this size, players take it for what it is."""
    picture = b"".join(bytes((*reversed(colour), 0)) * PATCH for colour in COLOURS + COLOURS[:5])
    rows = [picture[at : at + 4 * PATCH * COLUMNS] for at in range(0, len(picture), 4 * PATCH * COLUMNS)]
    (tmp_path / "picture").write_bytes(b"".join(row * PATCH for row in rows))
    segments = [tmp_path / f"segment-{number}.mp4" for number in range(2)]
    for number, (segment, filters) in enumerate(zip(segments, (OLD, NEW), strict=True)):
        made = await ask(
            *("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr0", "-s", f"{PATCH * COLUMNS}x{PATCH * 10}"),
            *("-framerate", "10", "-stream_loop", "29", "-i", str(tmp_path / "picture"), "-vf", filters),
            *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-output_ts_offset", f"{3 * number}"),
            *("-f", "mp4", "-movie_timescale", "48000", "-movflags", "delay_moov+default_base_moof"),
            *("-frag_duration", "500000", str(segment)),
            env={},
        )
        assert made.returncode == 0, made.stderr
    join(segments, tmp_path / "joined.mp4")
    async with player(up, tmp_path) as shown:
        for at_s in (1, 4):
            assert differences(await shown.evaluate(f"of_video('/joined.mp4', {at_s})")) == {}
