"""The page about a job: what it says of each ending, that nothing in it breaks out, and that it copes with anything."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.harness import left_jobs
from bench.harness.left_jobs import RECORDING, at, leave, log_line
from recorder_fsm.commands import commands
from recorder_fsm.error_catalogue import entries
from recorder_fsm.machine.lifecycle import Event, State
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.report_page import writer
from recorder_fsm.report_page.charts import Axis, scale_to
from recorder_fsm.report_page.evidence import HEAD_LINES, TAIL_LINES, NotAJobError, read_evidence
from recorder_fsm.report_page.page import render
from recorder_fsm.report_page.story import EVENT_WORDS, STATE_WORDS
from recorder_fsm.report_page.words import length, size

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt; </style></title><!-- \x00\x1b[31m\u202e"
SEEN = "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt; </style></title><!--"
VOID = {"meta", "img", "input"}


class Parsed(HTMLParser):
    """A page as a browser sees it: elements with their attributes, and the text in them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        """What a person reads."""
        return " ".join(words for tag, words in self.words if tag not in ("style", "script"))

    def of(self, tag: str) -> list[str]:
        """The texts directly in elements of a name."""
        return [words for inside, words in self.words if inside == tag]


def page_of(folder: Path) -> Parsed:
    page = Parsed(render(read_evidence(folder)))
    assert page.wrong == []
    assert page.open == []
    return page


def test_published_meeting_is_told_from_its_begin_to_its_end(tmp_path: Path) -> None:
    """How it ended, its facts, what happened when, what it used, and what was said of it."""
    page = page_of(left_jobs.meeting(tmp_path / RECORDING))
    assert page.of("h1") == ["The recording was published"]
    for words in (
        "2.10 s of video and 3.47 s of audio are missing", "46 min 56 s", "360 MB", "1920 x 1080",
        "-27.4 and -4.1 dBFS",
        "The capture was lost", "restarts the capture", "the encoder was killed by SIGKILL", "restarts the audio",
        "17:51.6", "17:47.6", "14:17:53",
        "CPU by part", "Memory by part", "How far the encoder is behind", "Level of the audio", "browser", "494 MB",
        "the encoder is 6 s behind", "Gaps in the recording", "https://mattermost.example.com", "FRAME_RATE",
        "Linux 6.1.0 x86_64", "published: uploading -> done", "recording (records): 46 min 56 s",
    ):  # fmt: skip
        assert words in page.text, words
    drawn = [attributes for tag, attributes in page.elements if tag in ("polygon", "polyline")]
    assert len(drawn) >= 13
    places = [float(number) for one in drawn for number in re.split("[ ,]", str(one["points"]))]
    assert all(0 <= place <= 1000 for place in places)
    marks = [one for tag, one in page.elements if tag == "line" and one.get("class") == "fault"]
    assert len(marks) == 2 * sum(tag == "svg" for tag, _ in page.elements)


def test_kept_recording_says_how_to_publish_it(tmp_path: Path) -> None:
    """The headline says where it is; the steps are those of the catalogue, with the path of this job."""
    page = page_of(left_jobs.meeting(tmp_path / "volume" / RECORDING, kept=True))
    assert page.of("h1") == ["The recording is kept on the volume and was not published"]
    assert "Mattermost refused the recorder's access." in page.text
    assert "403 Forbidden" in page.text
    assert f"recorder-fsm recover {tmp_path / 'volume'}" in page.text
    assert entries()["access_refused"].cause.split(".", maxsplit=1)[0] in page.text
    assert "Weekly_meeting.mp4" in page.text


def test_job_that_failed_at_the_start_says_why_and_what_to_do(tmp_path: Path) -> None:
    """Nothing was recorded, and a person knows what to install."""
    page = page_of(left_jobs.failed_at_the_start(tmp_path / RECORDING))
    assert page.of("h1") == ["Nothing was recorded"]
    assert "apt-get install chromium" in page.text
    assert "program_missing" in page.text
    assert "Start the recording again in the call." in page.text


def test_killed_job_is_told_from_its_journal_and_its_log(tmp_path: Path) -> None:
    """It has no report; the last that it wrote ends its last state, whatever a copy of the files says of times."""
    page = page_of(left_jobs.killed(tmp_path / RECORDING))
    assert page.of("h1") == ["The recording is kept on the volume and was not published"]
    assert "it was killed, or its machine went down" in page.text
    assert "The browser joined the call" in page.text
    assert "recording (records): 55.1 s" in page.text
    assert "recorded 59.0 s" in page.text
    nothing = page_of(left_jobs.killed(tmp_path / "two" / RECORDING, segment=False))
    assert nothing.of("h1") == ["The recorder ended without a report"]


def test_moments_of_a_killed_job_have_their_place_in_the_recording(tmp_path: Path) -> None:
    """A player finds there what the journal tells, though no report says where the recording begins."""
    journal: list[left_jobs.Facts] = [
        {"at": left_jobs.at(0), "fact": "process_started"},
        {"at": left_jobs.at(4), "fact": "announced", "notice": "given", "head_s": 0.1},
        {"at": left_jobs.at(10.25), "fact": "moved", "event": "capture_lost", "to": "recording", "keeps": True},
    ]
    page = page_of(left_jobs.leave(tmp_path / RECORDING, journal=journal))
    assert {"10.25 s", "6.25 s"} <= set(page.of("td"))


ENDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "ended by a fault": (
        {"outcome": "done", "published": {"file_id": "f"}, "cause": {"code": "browser", "sentence": "It broke."}},
        "The recording was published, and something went wrong on the way",
    ),
    "published before": (
        {"outcome": "done", "transitions": [{"after_s": 1, "event": "pending_published", "to": "done"}]},
        "The recording had been published before",
    ),
    "refused": (
        {"outcome": "failed", "transitions": [{"after_s": 1, "event": "capture_started", "to": "recording"}]},
        "Nothing was kept of the recording",
    ),
    "copied without its recording": (
        {"outcome": "failed", "started_after_s": 4.1, "capture": {"clock_s": 60}, "cause": {"code": "access_refused"}},
        "No recording is in this directory",
    ),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_each_ending_has_its_words(tmp_path: Path, kind: str) -> None:
    """Nobody has to know what the states mean."""
    report, headline = ENDINGS[kind]
    assert page_of(leave(tmp_path / RECORDING, report=report)).of("h1") == [headline]


def test_running_job_and_report_of_an_earlier_start_are_not_mistaken(tmp_path: Path) -> None:
    """A recorder that renews its lease has not ended; the report of the start before it is not its own."""
    folder = left_jobs.failed_at_the_start(tmp_path / RECORDING)
    os.utime(folder / "report.json", (1_000_000_000, 1_000_000_000))
    journal = [{"at": at(0), "fact": "process_started"}, {"at": at(100), "fact": "process_started"}]
    (folder / "journal.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in journal))
    page = page_of(folder)
    assert page.of("h1") == ["The recorder ended without a report"]
    assert "is of an earlier start" in page.text
    assert "Starts of this job 2" in " ".join(page.text.split())
    (folder / "lease.json").write_text("{}")
    assert page_of(folder).of("h1") == ["This job is still running"]
    os.utime(folder / "report.json")  # at its end, while it still holds the lease
    assert page_of(folder).of("h1") == ["Nothing was recorded"]
    os.utime(folder / "report.json", (1_000_000_000, 1_000_000_000))
    os.utime(folder / "lease.json", (time.time() - 60, time.time() - 60))
    assert page_of(folder).of("h1") == ["The recorder ended without a report"]


def test_every_state_and_event_has_words() -> None:
    """A new one that nobody described would be shown by its name alone."""
    assert {event.value for event in Event} <= set(EVENT_WORDS)
    assert {state.value for state in State} == set(STATE_WORDS)


UNSHOWN = re.compile(r"(outcome|began_at|screenshot|published\.file_id|states_s(\..*)?|samples(\..*)?)$")
"""What of a report a person reads in other words, or not at all."""


def twisted(value: Any, path: str, made: dict[str, str]) -> Any:
    """Return facts of the same form, with hostile text in the place of each text; `made` gets the mark of each."""
    if isinstance(value, str):
        made[path] = f"mark-{len(made)}-"
        return f"{made[path]}{HOSTILE}"
    if isinstance(value, list):
        return [twisted(one, f"{path}.{place}", made) for place, one in enumerate(value)]
    if isinstance(value, dict):
        return {key: twisted(one, f"{path}.{key}".lstrip("."), made) for key, one in value.items()}
    return value


def test_hostile_text_stays_text_wherever_it_stands(tmp_path: Path) -> None:
    """In each field of the report, in names, in the log, in file names: all is shown, and no element comes of it."""
    plain = left_jobs.meeting(tmp_path / "plain" / RECORDING, kept=True)
    expected = page_of(plain)
    report = json.loads((plain / "report.json").read_text())
    report |= {
        "measures": {"one": ["x", {"deep": "x"}]},
        "console_errors": ["x"],
        "news": {"more": "x"},
        "screenshot": "x",
    }
    report["cause"] |= {"advice": "x", "help": "javascript:alert(1)"}
    made: dict[str, str] = {}
    report = twisted(report, "", made)
    cpu = report["samples"]["cpu"]
    report["samples"]["cpu"] = {f"part-{place}{HOSTILE}": column for place, column in enumerate(cpu.values())}
    report["settings"][f"name{HOSTILE}"] = 1
    report[f"fact{HOSTILE}"] = {f"inner{HOSTILE}": 1}
    lines = [
        f"raw{HOSTILE}",
        log_line(1, "ERROR", "recording", f"logged{HOSTILE}"),
        json.dumps({"time": f"at{HOSTILE}", "level": HOSTILE, "state": f"in{HOSTILE}", "message": f"said{HOSTILE}"}),
    ]
    name = f"file{SEEN.replace('/', '_')}.mp4"
    page = page_of(leave(tmp_path / "twisted" / RECORDING, report=report, log=lines, files={name: b"x"}))
    assert [path for path, mark in made.items() if mark not in page.text and not UNSHOWN.match(path)] == []
    for mark in ("part-0", "part-5", "name", "fact", "inner", "raw", "logged", "in", "said"):
        assert f"{mark}\"'><script>alert(1)</script>" in page.text, mark
    assert name in page.text
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in expected.elements} | {"ul"}
    for tag in ("script", "style", "title", "meta"):
        assert sum(one == tag for one, _ in page.elements) == sum(one == tag for one, _ in expected.elements)
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert not [one for _, one in page.elements if one.keys() & {"src", "href", "action", "data", "srcset"}]
    assert "\x00" not in page.text
    assert "\u202e" not in page.text


ODD_REPORTS: Mapping[str, str] = {
    "empty": "",
    "cut": '{"recording_id": "q1b8k3mzt7", "transitions": [{"after_s": 1.2, "ev',
    "a list": "[1, 2]",
    "null": "null",
    "deep": "[" * 100_000,
    "digits": '{"exit_code": ' + "9" * 10_000 + "}",
    "other kinds": json.dumps(
        {
            "transitions": {"a": 1}, "gaps": "none", "notes": 7, "samples": [], "cause": "it broke", "file": [1],
            "capture": None, "published": 0, "states_s": "x", "began_at": 12, "settings": [1], "machine": "m",
            "measures": [1, [2, {"x": None}]], "console_errors": {"a": "b"}, "exit_code": "x", "recording_id": {},
        }
    ),
    "other kinds inside": json.dumps(
        {
            "transitions": [1, None, {"after_s": "soon"}, {"after_s": -5, "event": [], "to": {}, "restarts": 3}],
            "gaps": [1, {"at_s": 1}, {"at_s": 1, "length_s": -1, "what": []}], "notes": [1, None, []],
            "samples": {"at_s": [1, 2], "cpu": {"browser": [1]}, "memory_bytes": {"browser": ["a", None]}, "speed": 1},
        }
    ),
    "no numbers": '{"transitions": [{"after_s": NaN}, {"after_s": 1e999, "to": "recording"}], "exit_code": Infinity,'
    '"samples": {"at_s": [NaN, 1], "speed": [-Infinity, 1]}, "gaps": [{"at_s": 1e300, "length_s": 1e300}]}',
    "endless": '{"samples": {"at_s": [1e17, 1e18], "speed": [1e18, 1e-300], "cpu": {"browser": [1e18, -1e18]},'
    '"memory_bytes": {"browser": [0, 0]}}, "transitions": [{"after_s": 1e18, "event": "x", "to": "y"}]}',
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_REPORTS)
def test_damaged_report_costs_no_page(tmp_path: Path, kind: str) -> None:
    """Whatever is in it, the rest is shown; one that cannot be read at all is said to be so."""
    folder = leave(tmp_path / RECORDING, log=[log_line(1, "INFO", "init", "it began")])
    (folder / "report.json").write_text(ODD_REPORTS[kind])
    page = page_of(folder)
    assert page.of("h1")
    assert "it began" in page.text
    if kind in ("empty", "cut", "a list", "null", "deep", "digits"):
        assert "report.json cannot be read" in page.text


def test_binary_garbage_in_every_file_is_survived(tmp_path: Path) -> None:
    """A volume may be damaged; what is not text is shown as far as it can be."""
    garbage = bytes(range(256)) * 300
    names = ("report.json", "journal.jsonl", "recorder.log", "lease.json", "last-screen.png")
    page = page_of(leave(tmp_path / RECORDING, files=dict.fromkeys(names, garbage)))
    assert page.of("h1")
    assert not [attributes for tag, attributes in page.elements if tag == "img"]  # it is no picture


def test_long_log_is_shown_by_its_ends(tmp_path: Path) -> None:
    """The first lines and the last; how many are missing; one of gigabytes is not read whole."""
    lines = [log_line(1, "INFO", "recording", f"line {number}.") for number in range(5000)]
    folder = leave(tmp_path / RECORDING, log=lines)
    page = page_of(folder)
    for number in (0, HEAD_LINES - 1, 5000 - TAIL_LINES, 4999):
        assert f"line {number}." in page.text
    assert f"line {HEAD_LINES}." not in page.text
    assert f"{5000 - HEAD_LINES - TAIL_LINES} lines are left out" in page.text
    with (folder / "recorder.log").open("r+") as file:
        file.truncate(8 * 2**30)
        file.seek(0, os.SEEK_END)
        file.write("\n" + log_line(2, "ERROR", "failed", "the last words") + "\n")
    page = page_of(folder)
    assert "line 0." in page.text
    assert "the last words" in page.text
    assert "Many lines are left out" in page.text


def test_log_in_json_reads_like_one_for_people(tmp_path: Path) -> None:
    """Time, level, state, message, and the traceback where there is one."""
    line = {"time": at(5), "level": "ERROR", "state": "recording", "message": "it broke", "exception": "Traceback | x"}
    page = Parsed(render(read_evidence(leave(tmp_path / RECORDING, log=[json.dumps(line)]))))
    assert "14:00:07.250" in page.of("time")
    assert "ERROR" in page.of("b")
    assert "it broke Traceback | x" in page.text


def test_token_is_masked_once_more(tmp_path: Path) -> None:
    """Also one that something else wrote into the job's files."""
    keep_secret(TOKEN)
    report = {"notes": [f"note {TOKEN}"], "cause": {"detail": TOKEN}, "settings": {"X": TOKEN}, TOKEN: {TOKEN: TOKEN}}
    folder = leave(tmp_path / RECORDING, report=report, log=[log_line(1, "INFO", "init", f"Bearer {TOKEN}"), TOKEN])
    assert TOKEN not in render(read_evidence(folder))


def test_nothing_is_read_through_a_link_or_a_pipe(tmp_path: Path) -> None:
    """Whoever can write to the volume must not get to see other files, or make the reader wait."""
    (tmp_path / "secret.txt").write_text("do not tell")
    folder = leave(tmp_path / RECORDING, report={"recording_id": RECORDING})
    for name in ("recorder.log", "last-screen.png", "live.mp4"):
        (folder / name).symlink_to(tmp_path / "secret.txt")
    os.mkfifo(folder / "journal.jsonl")
    page = page_of(folder)
    assert "do not tell" not in page.text
    assert "recorder.log is not read: it is a link" in page.text
    assert "journal.jsonl is not read: it is no file" in page.text
    assert "live.mp4" not in page.text


def test_picture_is_in_the_page(tmp_path: Path) -> None:
    """The screenshot of the fault; a contact sheet takes its place."""
    folder = leave(tmp_path / RECORDING, report={}, files={"last-screen.png": left_jobs.picture()})
    for sheet, words in (
        (None, "when the fault was noticed"),
        (left_jobs.picture(32, 18), "from its begin to its end"),
    ):
        page = Parsed(render(read_evidence(folder), sheet))
        (picture,) = [attributes for tag, attributes in page.elements if tag == "img"]
        assert str(picture["src"]).startswith("data:image/png;base64,")
        assert words in page.text


# --- Writing it -------------------------------------------------------------------------------------------------------


def report(*arguments: str | Path, **environment: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands, ["report", *map(str, arguments)], obj=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_command_writes_the_page_beside_the_job_or_where_it_is_told(tmp_path: Path) -> None:
    """For its user alone; `-` is standard output; the token of the environment is masked."""
    folder = leave(tmp_path / RECORDING, report={"notes": [f"note {TOKEN}"]})
    assert report(folder, AUTH_TOKEN=TOKEN) == (0, f"the report is {folder}/report.html\n")
    page = folder / "report.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "note ***" in page.read_text()
    assert report(folder, "--out", tmp_path / "my.html")[0] == 0
    code, output = report(folder, "--out", "-", AUTH_TOKEN=TOKEN)
    assert (code, output) == (0, page.read_text())
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html"}


def test_command_says_what_is_no_job(tmp_path: Path) -> None:
    """A file, nothing, an empty directory, a directory of jobs: one line, code 1, nothing written."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").write_text("")
    left_jobs.failed_at_the_start(tmp_path / "volume" / RECORDING)
    for place, words in (
        ("empty", "none of its files is there"),
        ("file", "is a file"),
        ("nowhere", "No such file"),
        ("volume", f"it holds 1 of them, {RECORDING} for example"),
    ):
        code, output = report(tmp_path / place)
        assert code == 1
        assert words in output
        assert "; what to do: Name the directory of one job" in output
        assert output.count("\n") == 1
    assert list(empty.iterdir()) == []


def test_page_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    """Neither where the page goes, nor where its part is written first; a device stays one."""
    folder = leave(tmp_path / RECORDING, report={})
    other = tmp_path / "other"
    other.write_text("mine")
    for name in ("report.html", "report.html.part"):
        (folder / name).symlink_to(other)
    assert report(folder)[0] == 0
    assert other.read_text() == "mine"
    assert not (folder / "report.html").is_symlink()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, Path("/dev/null"), Path("/dev/stdout"), folder, Path("/"), Path(), tmp_path / "no" / "x.html"):
        before = target.lstat() if target.parent.is_dir() else None
        code, output = report(folder, "--out", target)
        assert (code, output.count("\n")) == (1, 1), output
        assert before is None or target.lstat().st_ino == before.st_ino


async def test_end_of_a_job_waits_for_its_page_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """No time left, a volume that hangs, a full disk, a defect of ours: each is a line of the log, and no more."""
    folder = left_jobs.failed_at_the_start(tmp_path / RECORDING)
    await writer.leave_page(folder, 0.1)
    assert not (folder / "report.html").exists()
    assert "no time left" in log[-1]
    await writer.leave_page(folder, float("inf"))
    assert "Nothing was recorded" in (folder / "report.html").read_text()
    released = threading.Event()
    monkeypatch.setattr(writer, "LIMIT_S", 0.6)

    def hung(_: Path) -> list[Path]:
        assert threading.current_thread() is not threading.main_thread(), "the loop would hang with it"
        released.wait()
        return []

    with monkeypatch.context() as patch:
        patch.setattr(writer, "recordings_in", hung)
        await writer.leave_page(folder, 5)
    assert "was not ready within 0.6 s" in log[-1]

    def patched(behaviour: Callable[..., Any]) -> None:
        monkeypatch.setattr(writer, "read_evidence", behaviour)

    patched(lambda _: released.wait())
    async with asyncio.timeout(20):
        await writer.leave_page(folder, 5)
    released.set()
    assert "was not ready within 0.6 s" in log[-1]

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    patched(full)
    await writer.leave_page(folder, 5)
    assert "cannot be made" in log[-1]
    patched(lambda _: 1 / 0)
    await writer.leave_page(folder, 5)
    assert "cannot be made" in log[-1]


def test_folder_that_is_no_job_is_refused_by_name(tmp_path: Path) -> None:
    """The error has a code of its own."""
    with pytest.raises(NotAJobError) as caught:
        read_evidence(tmp_path)
    assert caught.value.code == "no_job"


def test_moment_before_a_full_minute_is_written_as_that_minute(tmp_path: Path) -> None:
    """No clock shows sixty seconds."""
    moments = [{"after_s": 119.97, "event": "call_joined", "to": "browser_joined"}]
    page = page_of(leave(tmp_path / RECORDING, report={"transitions": moments}))
    assert "2:00.0" in page.of("td")
    assert "60.0" not in page.text


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total_s", [0.0, 0.3, 1.3, 7, 59, 61, 600, 3000, 3601, 18_000, 86_400, 1e9])
def test_time_axis_has_few_round_labels(total_s: float) -> None:
    """However short or long the job was."""
    ticks = Axis(total_s).ticks()
    assert 1 <= len(ticks) <= 10
    assert all(0 <= tick <= max(total_s, 0.5) * 1.001 for tick in ticks)


@pytest.mark.parametrize("highest", [0.0, 0.01, 0.51, 1.0, 3.9, 63.0, 1e9])
def test_scale_holds_its_values_and_ends_round(highest: float) -> None:
    """A few steps of 1, 2, 2.5 or 5."""
    scale = scale_to(highest, str, least=0.5)
    assert scale.high >= max(highest, 0.5)
    assert 3 <= len(scale.ticks) <= 6
    assert scale.y(scale.high) == 0
    assert scale.y(0) == 100


def test_numbers_are_written_for_people() -> None:
    """Sizes and lengths."""
    assert [size(count) for count in (0, 999, 12_345, 360_448_000, 8_192_000_000, 5e13)] == [
        "0 B", "999 B", "12.3 kB", "360 MB", "8.19 GB", "50 TB",
    ]  # fmt: skip
    assert [length(seconds) for seconds in (0.533, 12.34, 245, 3725)] == [
        "0.53 s",
        "12.3 s",
        "4 min 05 s",
        "1 h 02 min",
    ]
