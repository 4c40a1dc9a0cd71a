"""How long a long recording takes from its stop to the finished file: `make bench-finish`.

Makes a segment of BENCH_HOURS hours (default 3, the longest that Calls records) by repeating a short one, and
finishes it as a job does: rewrite, check. The limit is 15 s on a local disk.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.results import Row
from recorder_fsm.media.output_file import RecordingFiles
from recorder_fsm.system.process import run

PIECE_S = 30
FRAGMENTED = ("-f", "mp4", "-movflags", "delay_moov+default_base_moof", "-frag_duration", "500000")


async def make_segment(folder: Path, hours: float, env: dict[str, str]) -> Path:
    """Write a fragmented file of `hours` hours at 1920x1080 and 1.5 Mbit/s, like the encoder's."""
    piece, segment = folder / "piece.mp4", folder / "live.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30", "-f", "lavfi", "-i", "sine=440:r=48000"]
    codecs = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-b:v",
        "1500k",
        "-c:a",
        "aac",
        "-ac",
        "2",
    ]
    quiet = ["ffmpeg", "-loglevel", "error", "-y"]
    await run("piece", [*quiet, *source, "-t", str(PIECE_S), *codecs, str(piece)], env=env, limit_s=300)
    rounds = str(round(hours * 3600 / PIECE_S) - 1)
    copied = ["-stream_loop", rounds, "-i", str(piece), "-c", "copy", *FRAGMENTED, str(segment)]
    await run("segment", [*quiet, *copied], env=env, limit_s=600)
    return segment


async def measure(hours: float) -> Row:
    """Finish a segment of `hours` hours; returns the seconds that it took."""
    env = {"PATH": os.environ["PATH"]}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        segment, final = await make_segment(folder, hours, env), folder / "final.mp4"
        files = RecordingFiles(env)
        began = time.monotonic()
        await files.finalise([segment], final)
        rewritten = time.monotonic()
        facts = await files.verify(final, expected_s=None)
        ended = time.monotonic()
    row = {
        "hours": facts.duration_s / 3600,
        "gigabytes": facts.size_bytes / 1e9,
        "rewritten_s": rewritten - began,
        "checked_s": ended - rewritten,
    }
    print(
        f"finish: {row['hours']:.2f} h, {row['gigabytes']:.2f} GB in {ended - began:.1f} s "
        f"(rewritten in {row['rewritten_s']:.1f} s, checked in {row['checked_s']:.1f} s)"
    )
    return row


def main() -> int:
    asyncio.run(measure(float(os.environ.get("BENCH_HOURS", "3"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
