"""The journal: what a killed process wrote must be readable by the next one, whatever the kill did to it."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_fsm.errors import DirectoryError
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.storage.journal import Journal, Remembered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def facts(path: Path) -> list[str]:
    return [str(fact["fact"]) for fact in Journal(path).facts()]


def test_facts_come_back_in_order_with_their_details(path: Path) -> None:
    """Each has its time in UTC and what it was written with, non-ASCII included."""
    journal = Journal(path)
    journal.write("named", name="Besprechung_\u00fc")
    journal.note("file_ready", file="x.mp4", bytes=5)
    named, ready = journal.facts()
    assert (named["fact"], named["name"]) == ("named", "Besprechung_\u00fc")
    assert (ready["file"], ready["bytes"]) == ("x.mp4", 5)
    assert datetime.fromisoformat(named["at"]).utcoffset() is not None


def test_journal_is_for_its_user_alone(path: Path) -> None:
    """Names of calls are nobody else's business."""
    Journal(path).write("named", name="x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_missing_and_empty_journals_remember_nothing(path: Path) -> None:
    """The first start of a job finds no journal; one that was killed at once finds an empty one."""
    assert Journal(path).remembered() == Remembered()
    path.write_bytes(b"")
    assert Journal(path).facts() == []
    Journal(path).write("saved")
    assert facts(path) == ["saved"]


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_line_that_was_cut_hides_neither_what_was_before_nor_what_comes_after(path: Path, cut: int) -> None:
    """A kill in the middle of a write costs that fact alone, and the next start goes on in a line of its own."""
    journal = Journal(path)
    journal.write("named", name="x")
    whole = path.read_bytes()
    journal.write("uploaded", file_id="y")
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert facts(path) == ["named"]
    Journal(path).write("process_started")
    Journal(path).write("saved")
    assert facts(path) == ["named", "process_started", "saved"]


def test_line_whose_newline_alone_was_cut_is_kept(path: Path) -> None:
    """The fact is whole, so it counts."""
    journal = Journal(path)
    journal.write("uploaded", file_id="y")
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert facts(path) == ["uploaded"]
    journal.write("saved")
    assert facts(path) == ["uploaded", "saved"]


@given(st.binary(max_size=300))
def test_garbage_is_read_without_an_error_and_can_be_written_after(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    """Whatever a broken disk left, a job can start and remember what comes after."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    path.write_bytes(garbage)
    journal = Journal(path)
    journal.remembered()
    journal.write("saved")
    assert journal.facts()[-1]["fact"] == "saved"
    assert journal.remembered().saved


@pytest.mark.parametrize("line", ["[]", "7", '"saved"', "null", "{}", '{"fact": ["saved"]}', '{"fact": null}'])
def test_json_that_is_no_fact_is_passed_over(path: Path, line: str) -> None:
    """Valid JSON of another shape adds nothing."""
    path.write_text(f"{line}\n")
    assert Journal(path).remembered() == Remembered()


@pytest.mark.parametrize(
    "fact",
    [
        {"fact": "process_started", "site_url": 7},
        {"fact": "named", "name": ["x"]},
        {"fact": "uploaded", "file_id": {"id": 1}},
        {"fact": "capture_ended", "seconds": "long"},
        {"fact": "upload_session", "id": 5},
        {"fact": "moved", "to": 1, "event": None, "keeps": None},
        {"fact": "moved", "keeps": 0},
        {"fact": "announced", "notice": True},
        {"fact": "announced", "notice": "yes"},
        {"fact": "announced"},
    ],
    ids=str,
)
def test_value_of_a_wrong_kind_is_not_remembered(path: Path, fact: dict[str, object]) -> None:
    """What is remembered is used for paths, markers and requests: only text is text, only numbers are numbers."""
    path.write_text(json.dumps(fact) + "\n")
    memory = Journal(path).remembered()
    for name in ("site_url", "name", "session_id", "file_id"):
        assert getattr(memory, name) is None, name
    assert memory.capture_s is None
    assert (memory.announced, memory.discarded) == (False, False)


def test_line_separators_inside_a_fact_do_not_split_it(path: Path) -> None:
    """JSON leaves U+2028 and U+0085 as they are; they end no line of ours."""
    Journal(path).write("named", name="a\u2028b\u0085c\x0bd")
    assert [fact["name"] for fact in Journal(path).facts()] == ["a\u2028b\u0085c\x0bd"]


def test_token_is_not_in_the_journal(path: Path) -> None:
    """Whatever is written down: an address, a cause of a library, names in it."""
    keep_secret("q7xk2p9m4n8r5t6w3y1z0abcde")
    Journal(path).note(
        "moved", cause="the page said q7xk2p9m4n8r5t6w3y1z0abcde", more={"q7xk2p9m4n8r5t6": ["3y1z0abcde"]}
    )
    assert "q7xk2p9m" not in path.read_text()
    assert "3y1z0abc" not in path.read_text()
    (fact,) = Journal(path).facts()
    assert fact["cause"] == "the page said ***"


@pytest.mark.parametrize("text", ["half \ud800", "\u202eturned", "a\x00b\x1b[1mc\x85", "two  blanks\nand lines"])
def test_any_text_is_written_on_one_line_and_read_again(path: Path, text: str) -> None:
    """A name may have such characters; a page's half characters ended the job when they were written."""
    Journal(path).write("process_started", site_url=text)
    assert path.read_bytes().decode().rstrip("\n").isprintable()
    expected = text.replace("\x1b[1m", "")  # what colours a terminal is nobody's name
    assert Journal(path).remembered().site_url == expected


def test_endless_text_is_cut(path: Path) -> None:
    """A reason of megabytes, in each of its facts."""
    Journal(path).note("moved", cause="x" * 5_000_000)
    assert path.stat().st_size < 5_000


def test_unwritable_journal_is_an_error_for_write_and_a_warning_for_note(tmp_path: Path, log: list[str]) -> None:
    """A job does not begin without its journal, but a full disk must not stop it from saving the recording."""
    journal = Journal(tmp_path / "missing" / "journal.jsonl")
    with pytest.raises(DirectoryError, match="the journal cannot be written: No such file"):
        journal.write("process_started")
    journal.note("moved")
    journal.note("moved")
    warnings = [line for line in log if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "the journal cannot be written" in warnings[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_an_error_of_ours() -> None:
    """`No space left on device` becomes a cause that the job can report."""
    journal = Journal(Path("/dev/full"))
    with pytest.raises(DirectoryError, match="No space left"):
        journal.write("process_started")


def test_unreadable_journal_remembers_nothing(tmp_path: Path) -> None:
    """A directory in its place is no reason to fail."""
    (tmp_path / "journal.jsonl").mkdir()
    assert Journal(tmp_path / "journal.jsonl").remembered() == Remembered()


def test_each_fact_is_on_the_disk_before_the_job_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is fsynced after each line is written."""
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    journal = Journal(path)
    journal.write("uploaded", file_id="a")
    journal.note("saved")
    assert [data.count(b"\n") for data in synced] == [1, 2]


def test_memory_adds_up_over_starts(path: Path) -> None:
    """The whole life of a job that was killed while uploading and started again."""
    journal = Journal(path)
    journal.write("process_started", runtime="/run/a", site_url="http://h", call_id="c", post_id="p")
    journal.write("named", name="Call_x")
    journal.note("moved", event="display_ready", to="display_up", cause="", keeps=True)
    journal.note("moved", event="capture_started", to="recording", cause="", keeps=True)
    journal.note("announced", notice="given")
    journal.note("capture_ended", seconds=12.5)
    journal.note("moved", event="call_ended", to="stopping", cause="", keeps=True)
    journal.note("file_ready", file="Call_x.mp4", bytes=1)
    journal.note("upload_session", id="s1")
    journal.write("process_started", runtime="/run/b", site_url="http://h", call_id="c", post_id="p")
    journal.note("upload_session", id="s2")
    journal.note("uploaded", file_id="f")
    memory = journal.remembered()
    assert (memory.starts, memory.name) == (2, "Call_x")
    assert (memory.site_url, memory.call_id, memory.post_id) == ("http://h", "c", "p")
    assert (memory.announced, memory.discarded, memory.nobody_knew) == (True, False, False)
    assert memory.capture_s == 12.5
    assert (memory.session_id, memory.file_id, memory.saved) == ("s2", "f", False)


def test_upload_of_another_size_is_forgotten(path: Path) -> None:
    """The next start uploads anew."""
    journal = Journal(path)
    journal.note("uploaded", file_id="f")
    journal.note("uploaded", file_id=None)
    assert journal.remembered().file_id is None


Fact = tuple[str, dict[str, object]]
STARTED: Fact = ("process_started", {"runtime": "/run/x"})
TRIED: Fact = ("announced", {"notice": "given"})
IN_VAIN: Fact = ("announced", {"notice": "none"})
ON: Fact = ("moved", {"keeps": True})
GIVEN_UP: Fact = ("moved", {"keeps": False})
FOUND: Fact = ("moved", {"event": "pending_found", "to": "stopping", "keeps": True})


@pytest.mark.parametrize(
    ("facts", "nobody_knew"),
    [
        ((), False),
        ((STARTED,), False),
        ((STARTED, ON), False),
        ((STARTED, ON, STARTED), True),
        ((STARTED, ON, TRIED, STARTED), False),
        ((STARTED, ON, TRIED, IN_VAIN, STARTED), True),
        ((STARTED, ON, TRIED, IN_VAIN, TRIED, STARTED), False),
        ((STARTED, ON, TRIED, GIVEN_UP, STARTED), True),
        ((STARTED, GIVEN_UP, STARTED), True),
        ((STARTED, GIVEN_UP, STARTED, ON, TRIED, STARTED), False),
        ((STARTED, ON, TRIED, STARTED, GIVEN_UP, STARTED), False),
        ((STARTED, FOUND, STARTED), False),
    ],
    ids=[
        "no journal", "this start alone", "this start on its way", "killed before started", "killed after a try",
        "no try arrived", "a later try may have", "given up after a try", "given up before it", "recorded after that",
        "second start stopped at once", "found by a start without a journal",
    ],
)  # fmt: skip
def test_recording_that_nobody_knew_of_is_told_apart(path: Path, facts: tuple[Fact, ...], nobody_knew: bool) -> None:
    """Only where an earlier start ended without a try that may have arrived, or where the recording was given up."""
    journal = Journal(path)
    for fact, details in facts:
        journal.write(fact, **details)
    assert journal.remembered().nobody_knew is nobody_knew


DAMAGED = (
    "[" * 100_000,
    '{"fact": "capture_ended", "seconds": 1' + "0" * 400 + "}",
    '{"fact": "capture_ended", "seconds": 1' + "0" * 5000 + "}",
    '{"fact": "capture_ended", "seconds": NaN}',
    '{"fact": "named", "name": ["a"]}',
    "\x00" * 5000,
)


@pytest.mark.parametrize("number", range(len(DAMAGED)))
def test_damage_of_any_kind_is_passed_over(tmp_path: Path, number: int) -> None:
    """What cannot be, was not written by us; what was before and after it counts."""
    path = tmp_path / "journal.jsonl"
    Journal(path).write("process_started", call_id="before")
    with path.open("a") as file:
        file.write(DAMAGED[number] + "\n")
    Journal(path).write("saved")
    memory = Journal(path).remembered()
    assert (memory.call_id, memory.saved, memory.name, memory.capture_s) == ("before", True, None, None)
