"""The log: one line per event, in both forms, on both sinks, and no secret in any of them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from loguru import logger

from recorder_fsm.browser.launch_options import CallPageAddress
from recorder_fsm.storage import logs
from recorder_fsm.storage.logs import MASK, Redactor

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"
RECORDING = "rec4abcdefghijklmnopqrstuv"
ADDRESS = CallPageAddress(
    site_url="https://chat.example.com", origin="https://chat.example.com", call_id="c" * 26, recording_id="r" * 26,
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


class BrokenStream(io.StringIO):
    """A pipe whose reader has gone, or a disk without room."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, _: str) -> int:
        raise self.error


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


def configured(form: str = "text", level: str = "DEBUG") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level=level, form=form, redact=Redactor(TOKEN), stream=stream)
    logs.set_context(recording_id=RECORDING, state="recording")
    return stream


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
def test_token_is_masked_in_each_form_in_which_it_travels(secret: str, form: str) -> None:
    """In a message of ours, with the words around it left as they were."""
    stream = configured(form)
    logger.info("before {} after", secret)
    assert leaks(stream.getvalue()) == []
    assert "before" in stream.getvalue()
    assert "after" in stream.getvalue()
    assert MASK in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_token_is_masked_in_exceptions_and_their_causes(form: str) -> None:
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
def test_token_is_masked_in_the_logging_of_libraries(form: str) -> None:
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


def test_token_is_masked_in_the_data_of_a_line() -> None:
    """What is bound to a line for machines is redacted like its message."""
    stream = configured("json")
    logger.bind(data={"url": ADDRESS.url, "seconds": 1.5}).info("progress")
    assert leaks(stream.getvalue()) == []
    assert json.loads(stream.getvalue())["data"]["seconds"] == 1.5


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("token", ['quo"te"quote"', "back\\slash\\back", "new\nline\nnew", "\u00fcml\u00e4ut-token"])
def test_token_that_is_none_is_masked_too(token: str, form: str) -> None:
    """A token of a wrong form is refused, and may still be somebody's password: also as JSON and one-line text."""
    stream = io.StringIO()
    logs.configure(form=form, redact=Redactor(token), stream=stream)
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


def test_text_line_says_when_who_where_and_what() -> None:
    """Time in UTC, level, recording id, state, message."""
    stream = configured()
    logger.warning("the page is {}x{}", 1, 2)
    when, level, recording, state, *words = stream.getvalue().split()
    assert when.endswith("Z")
    assert (level, recording, state, " ".join(words)) == ("WARNING", RECORDING, "recording", "the page is 1x2")


def test_event_is_one_line_of_text_whatever_it_holds() -> None:
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
def test_no_other_end_of_line_gets_through_either(separator: str) -> None:
    """Some readers split at these as well."""
    stream = configured()
    logger.info("a{}b", separator)
    assert len(stream.getvalue().splitlines()) == 1


def test_json_line_is_valid_and_whole() -> None:
    """Each line is one object; message and exception come back as they were."""
    stream = configured("json")
    logger.info('quotes " and \\ and \n and \u2028 and {braces}')
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().split("\n")[:-1])
    assert first["message"] == 'quotes " and \\ and \n and \u2028 and {braces}'
    assert (first["level"], first["recording_id"], first["state"]) == ("INFO", RECORDING, "recording")
    assert first["time"].endswith("+00:00")
    assert "exception" not in first
    assert second["exception"].strip().endswith("ValueError: no")


def test_data_that_json_does_not_know_does_not_lose_the_line() -> None:
    """A path or an infinite level in a line's data is shown somehow; the line stays valid JSON."""
    stream = configured("json")
    logger.bind(data={"path": Path("/x"), "level": float("-inf")}).info("odd")
    line = json.loads(stream.getvalue(), parse_constant=_refuse)
    assert line["message"] == "odd"


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


def test_state_and_recording_follow_the_job() -> None:
    """The context is that of the moment, and lines before it is known have a dash."""
    stream = configured()
    logs.set_context(recording_id="-", state="-")
    logger.info("one")
    logs.set_context(recording_id=RECORDING)
    logs.set_context(state="stopping")
    logger.info("two")
    assert [line.split()[2:4] for line in stream.getvalue().splitlines()] == [["-", "-"], [RECORDING, "stopping"]]


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_level_is_kept(level: str, expected: int) -> None:
    """What is below it is not written."""
    stream = configured(level=level)
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    assert len(stream.getvalue().splitlines()) == expected


def test_libraries_speak_from_their_warnings_on() -> None:
    """Connection chatter is left out, a warning is not, and levels of a library's own become INFO."""
    stream = configured()
    logging.getLogger("urllib3.connectionpool").debug("chatter")
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    logging.getLogger("other").log(17, "odd level")
    text = stream.getvalue()
    assert "chatter" not in text
    assert "WARNING" in text
    assert "INFO" in next(line for line in text.splitlines() if "odd level" in line)


def test_malformed_record_of_a_library_does_not_raise_in_the_library() -> None:
    """`logging` promises its callers that logging never fails; what was meant is still seen."""
    stream = configured()
    logging.getLogger("library").warning("%d files", "many")
    assert "%d files" in stream.getvalue()


def test_exception_without_one_adds_nothing() -> None:
    """`logging.exception` outside of a handler is a line like any other."""
    stream = configured()
    logging.getLogger("library").exception("where?")
    assert stream.getvalue().rstrip().endswith("library: where?")


# --- sinks --------------------------------------------------------------------------------------------------------


def test_file_is_for_its_user_alone_and_is_appended(tmp_path: Path) -> None:
    """Whatever the umask; a second start of the job writes behind the first."""
    stream = configured()
    path = tmp_path / "recorder.log"
    before = os.umask(0)
    try:
        for number in range(2):
            end = logs.add_file(path, level="DEBUG", form="text", redact=Redactor(TOKEN))
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


def test_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    """A kill in the next moment does not lose the line that explains it."""
    configured()
    end = logs.add_file(tmp_path / "recorder.log", level="DEBUG", form="text", redact=Redactor())
    logger.info("last words")
    assert "last words" in (tmp_path / "recorder.log").read_text()
    end()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("I/O operation on closed file")]
)
def test_stream_that_fails_neither_raises_nor_keeps_the_other_sink_from_writing(
    tmp_path: Path, error: Exception
) -> None:
    """A full disk or a launcher that has gone must not end a recording."""
    logs.configure(redact=Redactor(), stream=BrokenStream(error))
    end = logs.add_file(tmp_path / "recorder.log", level="DEBUG", form="text", redact=Redactor())
    logger.info("still here")
    end()
    assert "still here" in (tmp_path / "recorder.log").read_text()


def test_full_disk_under_the_file_does_not_raise() -> None:
    """The same for the file, by a device that is always full."""
    stream = configured()
    end = logs.add_file(Path("/dev/full"), level="DEBUG", form="text", redact=Redactor())
    logger.info("still here")
    end()
    assert "still here" in stream.getvalue()


def test_launcher_that_stops_reading_does_not_change_the_exit_code() -> None:
    """Standard output is a pipe whose reader has gone: the process still ends with the code that it means."""
    code = (
        "import sys; from loguru import logger; from recorder_fsm.storage import logs\n"
        "logs.configure(redact=logs.Redactor())\n"
        "sys.stdin.readline(); logger.info('nobody reads this'); logs.release_stdout(); sys.exit(0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(b"go on\n")
    process.stdin.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), complaint) == (0, b"")


async def test_lines_of_other_threads_are_whole() -> None:
    """Uploads log from threads: their lines do not mix."""
    stream = configured()
    await asyncio.gather(*(asyncio.to_thread(logger.info, "number {} {}", n, "x" * 500) for n in range(20)))
    assert sorted(int(line.split()[5]) for line in stream.getvalue().splitlines()) == list(range(20))
