"""The log: one line per event, in both forms, on both sinks, and no secret in any of them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from loguru import logger

from recorder_fsm.browser.console import Console
from recorder_fsm.browser.launch_options import CallPageAddress
from recorder_fsm.plain_text import MASK, Redactor, keep_secret
from recorder_fsm.storage import logs

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"
RECORDING = "rec4abcdefghijklmnopqrstuv"
ADDRESS = CallPageAddress(
    origin="https://chat.example.com", call_id="c" * 26, recording_id="r" * 26,
    token=TOKEN,
)  # fmt: skip
FRAGMENT = ADDRESS.url.partition("#")[2]
FORMS = {
    "plain": TOKEN,
    "bearer": f"Authorization: BEARER {TOKEN}",
    "fragment": FRAGMENT,
    "fragment without padding": FRAGMENT.rstrip("="),
    "quoted fragment": quote(FRAGMENT, safe=""),
    "spaced JSON fragment": base64.urlsafe_b64encode(json.dumps({"token": TOKEN}).encode()).decode(),
    "address": ADDRESS.url,
    "JSON": json.dumps({"token": TOKEN}),
    "query": f"?access_token={TOKEN}&x=1",
}


class Written:
    """Standard output of a test: a file of its own."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def getvalue(self) -> str:
        """Return what was logged so far."""
        assert logs._output.writer is not None
        assert logs._output.writer.drain(20)
        return os.pread(self.descriptor, 10_000_000, 0).decode()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Give the log back as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logger.add(sys.stderr)
    root.handlers[:], root.level = handlers, level
    logs.set_context(recording_id="-", state="-")


@contextmanager
def output_to(descriptor: int) -> Iterator[None]:
    """Have the log take this descriptor for standard output."""
    before = logs._output
    logs._output = logs._Output(descriptor)
    try:
        yield
    finally:
        if logs._output.writer is not None:
            logs._output.writer.close(20)
        logs._output = before


Configure = Callable[..., Written]


@pytest.fixture
def configured() -> Iterator[Configure]:
    """Configures the log, and returns what it writes to standard output."""

    def configure(form: str = "text", level: str = "DEBUG", token: str = TOKEN) -> Written:
        keep_secret(token)
        logs.configure(level=level, form=form)
        logs.set_context(recording_id=RECORDING, state="recording")
        return Written(logs._output.descriptor)

    with tempfile.TemporaryFile() as file, output_to(file.fileno()):
        yield configure


def leaks(text: str) -> list[str]:
    """Return how the token can still be read in `text`: as it is, or by decoding what looks like base64."""
    found = [TOKEN] if TOKEN in text else []
    for word in text.replace("#", " ").replace('"', " ").replace("%3D", "").split():
        padded = word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4)
        try:
            decoded = base64.urlsafe_b64decode(padded)
        except ValueError:
            continue
        if TOKEN.encode() in decoded:
            found.append(word)
    return found


def test_the_look_for_leaks_sees_them() -> None:
    """The check below can fail: each form gives the token away where it is not redacted."""
    for form in FORMS.values():
        assert leaks(f"x {form} y"), form


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", FORMS.values(), ids=FORMS.keys())
def test_token_is_masked_in_each_form_in_which_it_travels(configured: Configure, secret: str, form: str) -> None:
    """In a message of ours, with the words around it left as they were."""
    stream = configured(form)
    logger.info("before {} after", secret)
    assert leaks(stream.getvalue()) == []
    assert "before" in stream.getvalue()
    assert "after" in stream.getvalue()
    assert MASK in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_token_is_masked_in_exceptions_and_their_causes(configured: Configure, form: str) -> None:
    """Tracebacks of libraries hold addresses and headers."""
    stream = configured(form)
    try:
        try:
            raise ValueError(f"Bearer {TOKEN}")
        except ValueError as error:
            raise RuntimeError(ADDRESS.url) from error
    except RuntimeError:
        logger.opt(exception=True).error("it failed")
    assert leaks(stream.getvalue()) == []
    assert "ValueError: Bearer" in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_token_is_masked_in_the_logging_of_libraries(configured: Configure, form: str) -> None:
    """Message, arguments and exception of the standard library's logging all pass the same way."""
    stream = configured(form)
    library = logging.getLogger("some.library")
    library.debug("GET %s", ADDRESS.url)
    try:
        raise OSError(TOKEN)
    except OSError:
        library.exception("with %s", {"Authorization": TOKEN})
    assert leaks(stream.getvalue()) == []
    assert "some.library: GET" in stream.getvalue()
    assert "OSError" in stream.getvalue()


def test_token_is_masked_in_the_data_of_a_line(configured: Configure) -> None:
    """What is bound to a line for machines is redacted like its message."""
    stream = configured("json")
    logger.bind(data={"url": ADDRESS.url, "seconds": 1.5}).info("progress")
    assert leaks(stream.getvalue()) == []
    assert json.loads(stream.getvalue())["data"]["seconds"] == 1.5


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("token", ['quo"te"quote"', "back\\slash\\back", "new\nline\nnew", "\u00fcml\u00e4ut-token"])
def test_token_that_is_none_is_masked_too(configured: Configure, token: str, form: str) -> None:
    """A token of a wrong form is refused, and may still be somebody's password: also as JSON and one-line text."""
    stream = configured(form, token=token)
    logger.info("before {} after", token)
    logger.info("before {!r} after", token)
    for line in stream.getvalue().splitlines():
        shown = json.loads(line)["message"] if form == "json" else line
        assert f"before {MASK} after" in shown.replace(f"'{MASK}'", MASK)


def test_ice_password_is_masked() -> None:
    """Console text of the page holds session descriptions (contract 3.5)."""
    redact = Redactor()
    assert (
        redact("a=ice-ufrag:ab\\r\\na=ice-pwd:s3cr3t+/x\\r\\na=end")
        == f"a=ice-ufrag:ab\\r\\na=ice-pwd:{MASK}\\r\\na=end"
    )
    assert redact("ice-pwd:one ice-pwd:two") == f"ice-pwd:{MASK} ice-pwd:{MASK}"


def test_no_token_masks_nothing() -> None:
    """An empty token must not put a mask between all letters."""
    assert Redactor("")("plain words") == "plain words"


# --- lines --------------------------------------------------------------------------------------------------------


def test_text_line_says_when_who_where_and_what(configured: Configure) -> None:
    """Time in UTC, level, recording id, state, message."""
    stream = configured()
    logger.warning("the page is {}x{}", 1, 2)
    when, level, recording, state, *words = stream.getvalue().split()
    assert when.endswith("Z")
    assert (level, recording, state, " ".join(words)) == ("WARNING", RECORDING, "recording", "the page is 1x2")


def test_event_is_one_line_of_text_whatever_it_holds(configured: Configure) -> None:
    """Newlines, carriage returns and tracebacks do not make more lines of it: nobody can forge one."""
    stream = configured()
    logger.info("first\nsecond\r\nthird")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "first | second | third" in lines[0]
    assert "ValueError: two | lines" in lines[1]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_no_other_end_of_line_gets_through_either(configured: Configure, separator: str) -> None:
    """Some readers split at these as well."""
    stream = configured()
    logger.info("a{}b", separator)
    assert len(stream.getvalue().splitlines()) == 1


def test_json_line_is_valid_and_whole(configured: Configure) -> None:
    """Each line is one object; message and exception are on one line in it, too, for whoever reads it unfolded."""
    stream = configured("json")
    logger.info('quotes " and \\ and \n and \u2028 and {braces}')
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().split("\n")[:-1])
    assert first["message"] == 'quotes " and \\ and  |  and  |  and {braces}'
    assert (first["level"], first["recording_id"], first["state"]) == ("INFO", RECORDING, "recording")
    assert first["time"].endswith("+00:00")
    assert "exception" not in first
    assert second["exception"].strip().endswith("ValueError: no")


def test_data_that_json_does_not_know_does_not_lose_the_line(configured: Configure) -> None:
    """A path or an infinite level in a line's data is shown somehow; the line stays valid JSON."""
    stream = configured("json")
    logger.bind(data={"path": Path("/x"), "level": float("-inf")}).info("odd")
    line = json.loads(stream.getvalue(), parse_constant=_refuse)
    assert line["message"] == "odd"


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


def test_state_and_recording_follow_the_job(configured: Configure) -> None:
    """The context is that of the moment, and lines before it is known have a dash."""
    stream = configured()
    logs.set_context(recording_id="-", state="-")
    logger.info("one")
    logs.set_context(recording_id=RECORDING)
    logs.set_context(state="stopping")
    logger.info("two")
    assert [line.split()[2:4] for line in stream.getvalue().splitlines()] == [["-", "-"], [RECORDING, "stopping"]]


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_level_is_kept(configured: Configure, level: str, expected: int) -> None:
    """What is below it is not written."""
    stream = configured(level=level)
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    assert len(stream.getvalue().splitlines()) == expected


def test_libraries_speak_from_their_warnings_on(configured: Configure) -> None:
    """Connection chatter is left out, a warning is not, and levels of a library's own become INFO."""
    stream = configured()
    logging.getLogger("urllib3.connectionpool").debug("chatter")
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    logging.getLogger("other").log(17, "odd level")
    text = stream.getvalue()
    assert "chatter" not in text
    assert "WARNING" in text
    assert "INFO" in next(line for line in text.splitlines() if "odd level" in line)


def test_malformed_record_of_a_library_does_not_raise_in_the_library(configured: Configure) -> None:
    """`logging` promises its callers that logging never fails; what was meant is still seen."""
    stream = configured()
    logging.getLogger("library").warning("%d files", "many")
    assert "%d files" in stream.getvalue()


def test_exception_without_one_adds_nothing(configured: Configure) -> None:
    """`logging.exception` outside of a handler is a line like any other."""
    stream = configured()
    logging.getLogger("library").exception("where?")
    assert stream.getvalue().rstrip().endswith("library: where?")


# --- sinks --------------------------------------------------------------------------------------------------------


def test_file_is_for_its_user_alone_and_is_appended(configured: Configure, tmp_path: Path) -> None:
    """Whatever the umask; a second start of the job writes behind the first."""
    stream = configured()
    path = tmp_path / "recorder.log"
    before = os.umask(0)
    try:
        for number in range(2):
            end = logs.add_file(path, level="DEBUG", form="text")
            logger.info("start {} with {}", number, TOKEN)
            end()
            logger.info("after the end")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().splitlines()
    assert [line.partition("recording")[2].strip() for line in lines] == [
        f"start 0 with {MASK}",
        f"start 1 with {MASK}",
    ]
    assert len(stream.getvalue().splitlines()) == 4


def test_file_that_cannot_be_opened_is_said_and_no_more(configured: Configure, tmp_path: Path) -> None:
    """The log goes on on standard output, which says so: a foreign file of that name costs no recording."""
    output = configured()
    (tmp_path / "recorder.log").mkdir()
    end = logs.add_file(tmp_path / "recorder.log", level="DEBUG", form="text")
    logger.info("still here")
    end()
    assert "still here" in output.getvalue()
    assert "cannot be written (Is a directory)" in output.getvalue()


def test_file_that_does_not_open_holds_up_nobody(configured: Configure, tmp_path: Path) -> None:
    """A volume that hangs: opening it takes for ever, as that of a pipe that nobody reads does."""
    output = configured()
    os.mkfifo(tmp_path / "recorder.log")
    end = logs.add_file(tmp_path / "recorder.log", level="DEBUG", form="text")
    logger.info("still here")
    assert "still here" in output.getvalue()
    end()
    logger.info("and here")
    assert "and here" in output.getvalue()


@pytest.fixture(params=["full disk", "reader has gone", "closed"])
def broken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A descriptor that takes nothing."""
    if request.param == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        read_end, descriptor = os.pipe()
        os.close(read_end)
    if request.param == "closed":
        os.close(descriptor)
        yield descriptor
    else:
        yield descriptor
        os.close(descriptor)


def test_output_that_fails_does_not_keep_the_file_from_being_written(broken: int, tmp_path: Path) -> None:
    """A full disk or a launcher that has gone must not end a recording."""
    with output_to(broken):
        logs.configure()
        end = logs.add_file(tmp_path / "recorder.log", level="DEBUG", form="text")
        logger.info("still here")
        logs.drain(20)
        assert logs.left_out() == {"standard output": 1}
        end()
    assert "still here" in (tmp_path / "recorder.log").read_text()


def test_full_disk_under_the_file_does_not_keep_the_output_from_being_written(configured: Configure) -> None:
    """The same for the file, by a device that is always full."""
    output = configured()
    end = logs.add_file(Path("/dev/full"), level="DEBUG", form="text")
    logger.info("still here")
    end()
    assert "still here" in output.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_that_nobody_took_are_said_in_their_place(form: str) -> None:
    """A reader who stalls and goes on learns how many lines are missing, where, and reads no half line."""
    read_end, write_end = os.pipe()
    with output_to(write_end):
        logs.configure(form=form)
        for number in range(20_000):
            logger.info("number {}", number)
        left_out = logs.left_out()["standard output"]
        with os.fdopen(read_end, encoding="utf-8") as lines:
            read: list[str] = []
            while not read or "left out" not in read[-1]:
                read.append(lines.readline())
            logger.info("afterwards")
            read.append(lines.readline())
    numbers = [int(line) for line in re.findall(r"number (\d+)", "".join(read))]
    assert numbers == list(range(len(numbers)))
    assert left_out == 20_000 - len(numbers) > 0
    assert f"{left_out} lines were left out here" in read[-2]
    assert "afterwards" in read[-1]
    assert len(read) == len(numbers) + 2


@pytest.mark.parametrize("kind", ["error", "warning", "assert"])
def test_errors_of_the_page_are_left_out_after_ordinary_lines(kind: str) -> None:
    """They are written at DEBUG, and are what explains a fault: room is kept for them behind a reader who stalls."""
    read_end, write_end = os.pipe()
    with output_to(write_end):
        logs.configure()
        for number in range(20_000):
            logger.debug("number {}", number)
        Console().heard("log", "an ordinary line")
        Console().heard(kind, "what explains it")
        logger.warning("the end")
        read = ""
        with os.fdopen(read_end, encoding="utf-8") as lines:
            while "the end" not in read:
                read += lines.readline()
    assert "what explains it" in read
    assert "an ordinary line" not in read


OWN_OUTPUT = """
import os, subprocess, sys, threading
from loguru import logger
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.storage import logs

with logs.own_output():
    keep_secret({token!r})
    logs.configure()
    sys.stdin.readline()
    {block}
sys.exit(3)
"""


def started(block: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_OUTPUT.format(token=TOKEN, block=block)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    return process


def test_launcher_that_stops_reading_does_not_change_the_exit_code() -> None:
    """Standard output is a pipe whose reader has gone: the process still ends with the code that it means."""
    process = started("logger.info('nobody reads this'); print('nor this')")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, complaint = process.communicate(b"go on\n", 20)
    assert (process.returncode, complaint) == (3, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_process_without_standard_descriptors_logs_to_nobody(closed: str, tmp_path: Path) -> None:
    """A launcher may leave them closed: no file of ours gets their numbers, and nothing is written into one."""
    code = (
        "from recorder_fsm.storage import logs; from loguru import logger; from pathlib import Path; import sys\n"
        f"path = Path({str(tmp_path / 'log')!r})\n"
        "with logs.own_output():\n"
        "    end = logs.add_file(path, level='DEBUG', form='text')\n"
        "    print('printed'); logger.info('logged'); end()\n"
        "sys.exit(3)"
    )
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code]
    done = subprocess.run(words, timeout=20, check=False, capture_output=True)
    assert done.returncode == 3
    assert b"Traceback" not in done.stdout + done.stderr
    assert "logged" in (tmp_path / "log").read_text()
    assert (b"logged" in done.stdout) is (">&-" not in closed.replace("2>&-", ""))


STRAY = {
    "print": "print('stray', {token!r})",
    "standard error": "print('stray', {token!r}, file=sys.stderr)",
    "a descriptor": "os.write(2, b'stray {token}\\n')",
    "a child": "subprocess.run(['echo', 'stray', {token!r}])",
    "a thread that dies": "t = threading.Thread(target=int, args=['stray {token}']); t.start(); t.join()",
    "a warning": "import warnings; warnings.warn('stray {token}')",
}


@pytest.mark.parametrize("source", STRAY)
def test_what_anybody_prints_becomes_lines_of_the_log(source: str) -> None:
    """Whoever prints beside the log neither waits for its reader nor shows a secret."""
    process = started(STRAY[source].format(token=TOKEN))
    output, complaint = process.communicate(b"go on\n", 20)
    (line,) = [line for line in output.decode().splitlines() if "stray" in line and MASK in line]
    assert " WARNING " in line
    assert TOKEN not in output.decode()
    assert (process.returncode, complaint) == (3, b"")


CHATTER = ("logger.info('x' * 1000)", "print('x' * 1000)", "print('x' * 1000, file=sys.stderr)")


@pytest.mark.parametrize("chatty", CHATTER, ids=["log", "standard output", "standard error"])
def test_reader_who_never_reads_holds_up_neither_the_work_nor_the_exit(chatty: str, tmp_path: Path) -> None:
    """Both outputs are full pipes that nobody reads: all work is done, and the exit code is the one that is meant."""
    done = tmp_path / "done"
    process = started(f"[{chatty} for _ in range(3000)]; open({str(done)!r}, 'w')")
    assert process.stdin is not None
    process.stdin.write(b"go on\n")
    process.stdin.flush()
    assert process.wait(60) == 3
    assert done.exists()
    process.communicate()


async def test_lines_of_other_threads_are_whole(configured: Configure) -> None:
    """Uploads log from threads: their lines do not mix."""
    stream = configured()
    await asyncio.gather(*(asyncio.to_thread(logger.info, "number {} {}", n, "x" * 500) for n in range(20)))
    assert sorted(int(line.split()[5]) for line in stream.getvalue().splitlines()) == list(range(20))
