"""`recorder-fsm verify` as people and programs use it: lines, JSON, exit codes, and files that nobody should trust."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from recorder_fsm.analysis.verify import verify as examine
from recorder_fsm.commands import commands
from tests.analysis.conftest import AAC, FASTSTART, H264, lavfi, make

PNG = b"\x89PNG\r\n\x1a\n"


def verify(*arguments: str | Path) -> Result:
    """Run the command in this process, into a pipe."""
    return CliRunner().invoke(commands, ["verify", *map(str, arguments)], obj={})


def judged(path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON object."""
    done = verify(path, "--json", *arguments)
    return done.exit_code, json.loads(done.stdout)


def ratings(facts: dict[str, Any]) -> dict[str, str]:
    return {line["name"]: line["rating"] for line in facts["checks"]}


def test_good_recording_is_told_line_by_line_with_a_sheet_and_as_json(known_file: Path, tmp_path: Path) -> None:
    """Each line has its rating; what is not ok says what it means and what to do; the sheet is a picture.

    The object has exactly the keys of docs/verifying.md, with units in their names.
    """
    sheet = tmp_path / "sheet.png"
    answer = asyncio.run(examine(known_file, sheet=sheet))
    assert answer.exit_code == 0
    assert answer.lines[0] == (None, "known.mp4")
    assert ("ok", "seeking     right at 5 places of 5") in answer.lines
    warning = next(at for at, (rating, text) in enumerate(answer.lines) if rating == "warning")
    assert answer.lines[warning][1].startswith("black       2.0 s: 0:02.0 to 0:04.0")
    assert "What to do:" in "".join(text for _, text in answer.lines[warning + 1 : warning + 4])
    assert answer.lines[-1] == (None, "Fit to be watched: 1 warning.")
    assert sheet.read_bytes().startswith(PNG)
    facts: Any = json.loads(json.dumps(answer.facts, allow_nan=False))
    assert facts["verdict"] == "fit"
    assert facts["black"] == [{"begin_s": pytest.approx(2, abs=0.05), "end_s": pytest.approx(4, abs=0.05)}]
    assert facts["video"]["colours"]["primaries"] == "bt709"
    page = (Path(__file__).parents[2] / "docs/verifying.md").read_text(encoding="utf-8")
    for name, value in facts.items():
        assert f"`{name}`" in page
        inner = value if isinstance(value, dict) else value[0] if isinstance(value, list) else {}
        assert [key for key in inner if f"`{key}`" not in page] == []


@pytest.fixture
async def unfinished(tmp_path: Path) -> Path:
    """A recording with its index at the end."""
    return await make(tmp_path / "last.mp4", *lavfi("testsrc2=s=160x90:r=10:d=3", "sine=d=3"), *H264, *AAC)


def test_index_at_the_end_is_a_warning(unfinished: Path) -> None:
    """It plays only when all of it is there, and says how to change that."""
    code, facts = judged(unfinished)
    assert (code, ratings(facts)["index"]) == (0, "warning")
    line = next(line for line in facts["checks"] if line["name"] == "index")
    assert "-movflags +faststart" in line["advice"]


def test_cut_recording_is_not_fit(known_file: Path, tmp_path: Path) -> None:
    """A file whose second half is missing plays half, and is said to be cut, with what its index promises."""
    half = tmp_path / "half.mp4"
    half.write_bytes(known_file.read_bytes()[: known_file.stat().st_size // 2])
    code, facts = judged(half)
    assert (code, facts["verdict"]) == (1, "unfit")
    assert ratings(facts)["length"] == "bad"
    assert facts["container"]["promised_s"] == pytest.approx(12, abs=0.05)
    assert facts["length_s"] < 8


def test_stream_that_is_announced_and_empty_is_a_fault(known_file: Path, tmp_path: Path) -> None:
    """A live file of a killed recorder may end before its first audio: video is measured, audio said to be missing."""
    live = ("-c", "copy", "-movflags", "+frag_keyframe+empty_moov+default_base_moof")
    bytes_ = asyncio.run(make(tmp_path / "live.mp4", "-i", str(known_file), "-t", "4", *live)).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(bytes_[: bytes_.index(b"mdat") + 30_000])
    code, facts = judged(cut)
    assert (code, facts["audio"], ratings(facts)["audio"], ratings(facts)["video"]) == (1, None, "bad", "ok")
    assert facts["video"]["frames"] > 1


def test_damaged_recording_is_not_fit(known_file: Path, tmp_path: Path) -> None:
    """Bytes that are not the encoder's are errors of the decoder."""
    bytes_ = bytearray(known_file.read_bytes())
    middle = len(bytes_) // 2
    bytes_[middle : middle + 4000] = bytes(4000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(bytes_)
    code, facts = judged(damaged)
    assert (code, ratings(facts)["plays"]) == (1, "bad")
    assert facts["decode_errors"]["count"] > 0


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"hello\n" * 100, "no index"),
        ("list.mp4", b"ffconcat version 1.0\nfile known.mp4\n", "list of other files"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nknown.mp4\n#EXT-X-ENDLIST\n", "cannot be read"),
        ("directory", None, "directory"),
        ("pipe", None, "pipe"),
        ("missing.mp4", None, "No such file"),
        ("http://127.0.0.1:9/a.mp4", None, "No such file"),
        ("a\nb.mp4", b"\x00" * 1000, ""),
    ],
)
def test_what_is_no_recording_cannot_be_examined(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    """Exit code 2, one sentence that says why, no traceback; what a list names is not opened."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name == "directory":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    done = verify(name if "//" in name else path)
    assert done.exit_code == 2, done.output
    assert told in done.stdout
    assert "Traceback" not in done.output
    assert judged(path)[1]["verdict"] == "unreadable"


def test_recording_without_index_is_refused(unfinished: Path, tmp_path: Path) -> None:
    """What a killed program left has no index."""
    half = tmp_path / "half.mp4"
    half.write_bytes(unfinished.read_bytes()[: unfinished.stat().st_size // 2])
    done = verify(half)
    assert (done.exit_code, "no index" in done.stdout) == (2, True)


@pytest.mark.parametrize("streams", ["video", "audio"])
def test_missing_stream_is_a_fault(tmp_path: Path, streams: str) -> None:
    """A recording without audio, or without video, is not fit, and what is there is measured; so is a single frame."""
    name = "-x 'y' %d:z\n.mp4"
    if streams == "video":
        made = make(tmp_path / name, *lavfi("testsrc2=s=160x90:r=10:d=1"), "-frames:v", "1", *H264)
    else:
        made = make(tmp_path / name, *lavfi("sine=d=1"), *AAC, *FASTSTART)
    path = asyncio.run(made)
    other = {"video": "audio", "audio": "video"}[streams]
    done = verify("--json", "--pattern", "--sheet", tmp_path / "sheet.png", "--", path)
    facts = json.loads(done.stdout)
    assert done.exit_code == 1
    assert ratings(facts)[other] == "bad"
    assert facts[other] is None
    assert facts[streams]["first_s"] == pytest.approx(0, abs=0.03)
    assert ratings(facts)["pattern"] == "bad"
    assert (tmp_path / "sheet.png").read_bytes().startswith(PNG)


def test_sheet_never_replaces_the_recording(known_file: Path) -> None:
    """The same name for both is refused, and the recording stays as it is."""
    before = known_file.read_bytes()
    assert verify(known_file, "--sheet", known_file).exit_code == 2
    assert known_file.read_bytes() == before
