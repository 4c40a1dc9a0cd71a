"""How long a long recording takes from its stop to the finished file: `make bench-finish`.

Makes a live file of BENCH_HOURS hours (default 3, the longest that Calls records) by repeating a short one, and
finishes it as a job does: rewrite, check, poster. The limit is 15 s on a local disk.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from recorder_fsm.media.output_file import Recording
from recorder_fsm.system.process import run

PIECE_S = 30
LIVE = ("-f", "mp4", "-movflags", "delay_moov+default_base_moof", "-frag_duration", "500000")


async def make_live(folder: Path, hours: float, env: dict[str, str]) -> Path:
    """Write a fragmented file of `hours` hours at 1920x1080 and 1.5 Mbit/s, like the encoder's."""
    piece, live = folder / "piece.mp4", folder / "live.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30", "-f", "lavfi", "-i", "sine=440:r=48000"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", "1500k", "-c:a", "aac"]
    quiet = ["ffmpeg", "-loglevel", "error", "-y"]
    await run("piece", [*quiet, *source, "-t", str(PIECE_S), *codecs, str(piece)], env=env, limit_s=300)
    rounds = str(round(hours * 3600 / PIECE_S) - 1)
    copied = ["-stream_loop", rounds, "-i", str(piece), "-c", "copy", *LIVE, str(live)]
    await run("live", [*quiet, *copied], env=env, limit_s=600)
    return live


async def main() -> int:
    hours = float(os.environ.get("BENCH_HOURS", "3"))
    env = {"PATH": os.environ["PATH"]}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        live = await make_live(folder, hours, env)
        recording = Recording(env)
        began = time.monotonic()
        final = await recording.finalise(live, folder / "final.mp4")
        rewritten = time.monotonic()
        facts = await recording.verify(final, expected_s=None)
        await recording.take_poster(final, folder / "poster.png", facts.duration_s)
        ended = time.monotonic()
        print(f"{facts.duration_s / 3600:.2f} h, {facts.size_bytes / 1e9:.2f} GB: finished in {ended - began:.1f} s")
        print(f"  rewritten in {rewritten - began:.1f} s, checked and poster in {ended - rewritten:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
