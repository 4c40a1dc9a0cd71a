"""The page: one HTML document of a job's evidence, with everything in it.

Pure. Nothing is loaded: style, script, drawings and pictures are in the document, and a policy in its head forbids
anything else, so that a text that slipped through all else could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from recorder_fsm import __version__
from recorder_fsm.analysis.contact_sheet import clock
from recorder_fsm.report_page import words
from recorder_fsm.report_page.evidence import Evidence, LogLine
from recorder_fsm.report_page.markup import Html, element, together
from recorder_fsm.report_page.over_time import over_time
from recorder_fsm.report_page.story import STATE_WORDS, Moment, Story, items, mapping, missing_s, number, story_of, text

STYLE = Path(__file__).with_name("style.css")
FILTER = Path(__file__).with_name("filter.js")
SHOWN_ELSEWHERE = frozenset(
    {
        "recording_id", "version", "began_at", "started_after_s", "started_lag_s", "capture", "file_ready_after_s",
        "file", "published", "console_errors", "screenshot", "cause", "outcome", "exit_code", "states_s",
        "transitions", "gaps", "notes", "samples", "settings", "machine", "measures",
    }
)  # fmt: skip
"""What of the report has a place of its own. What is new in it is shown all the same."""
MOST_NOTES = 500
MARKED = re.compile(r"(`[^`]+`|\*[^*\s](?:[^*]*[^*\s])?\*)")
PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}

SHEET_CAPTION = "Frames of the recording, from its begin to its end."
SCREEN_CAPTION = "What was on the recorded display when the fault was noticed."


def render(evidence: Evidence, sheet: bytes | None = None) -> str:
    """Return the whole document. `sheet`: a contact sheet of the recording (PNG or JPEG), None where there is none."""
    story = story_of(evidence)
    style, script = STYLE.read_text(encoding="utf-8"), FILTER.read_text(encoding="utf-8")
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{script_hash}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{story.headline}: {_job(evidence)}"),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element("main", *_sections(evidence, story, sheet)),
        element("footer", f"Made by recorder-fsm {__version__}. Times count from the start of the recorder."),
        element("script", Html(script)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _sections(evidence: Evidence, story: Story, sheet: bytes | None) -> list[Html]:
    report = evidence.report
    other = {key: fact for key, fact in report.items() if key not in SHOWN_ELSEWHERE}
    notes = [text(note) for note in items(report.get("notes"))[:MOST_NOTES] if text(note)]
    console = [text(line) for line in items(report.get("console_errors"))[:MOST_NOTES] if text(line)]
    parts = [
        _ending(evidence, story),
        _key_facts(evidence, story),
        _picture(sheet, SHEET_CAPTION) or _picture(evidence.screenshot, SCREEN_CAPTION),
        over_time(story, mapping(report.get("samples")), mapping(report.get("machine"))),
        _section("What happened when", _moments(story)) if story.moments else None,
        _section("Notes and findings", _list(notes)) if notes else None,
        _section("Gaps in the recording", _gaps(story)) if story.gaps else None,
        _section("Errors on the page's console", _list(console)) if console else None,
        _section("Measures", _pairs(report.get("measures"))) if report.get("measures") else None,
        _section("More facts", _pairs(other)) if other else None,
        _section("Settings and machine", _environment(evidence)) if _has_environment(evidence) else None,
        _log(evidence),
    ]
    return [part for part in parts if part is not None]


def _job(evidence: Evidence) -> str:
    return text(evidence.report.get("recording_id")) or evidence.folder.absolute().name


def _ending(evidence: Evidence, story: Story) -> Html:
    entry = story.entry
    problems = [f"{problem}." for problem in evidence.problems]
    return together(
        element("p", f"Recording job {_job(evidence)}", class_="id"),
        element(
            "section",
            element("h1", story.headline),
            element("p", story.meaning),
            element("p", element("strong", "Cause: "), story.sentence) if story.sentence else None,
            element("p", *_prose(entry.cause)) if entry else None,
            element("p", story.detail, class_="detail") if story.detail else None,
            element("p", element("strong", "What to do:")) if story.steps else None,
            element("ol", *(element("li", *_prose(step)) for step in story.steps)) if story.steps else None,
            element("p", "More: ", _address(story.help)) if story.help else None,
            element("ul", *(element("li", problem) for problem in problems), class_="quiet") if problems else None,
            class_=f"ending {story.mood}",
        ),
    )


def _prose(words: str) -> list[str]:
    """Return a sentence of ours: what stands between backticks is code, between asterisks the name of a setting."""
    pieces = []
    for piece in MARKED.split(words):
        mark = piece[:1] if MARKED.fullmatch(piece) else ""
        pieces.append(element({"`": "code", "*": "em"}[mark], piece[1:-1]) if mark else piece)
    return pieces


def _address(words: str) -> Html:
    if words.startswith(("https://", "http://")):
        return element("a", words, href=words, rel="noreferrer")
    return element("span", words, class_="code")


def _key_facts(evidence: Evidence, story: Story) -> Html:
    report = evidence.report
    file, capture, samples = (mapping(report.get(key)) for key in ("file", "capture", "samples"))
    missing = missing_s(story.gaps)
    free = [one for one in map(number, items(samples.get("free_bytes"))) if one is not None]
    restarts = sum(len(moment.restarts) for moment in story.moments)
    length_s = number(file.get("duration_s")) or number(capture.get("clock_s"))
    size_bytes = number(file.get("size_bytes"))
    width, height = number(file.get("width")), number(file.get("height"))
    started_s, ready_s = number(report.get("started_after_s")), number(report.get("file_ready_after_s"))
    mean, loudest = number(capture.get("mean_dbfs")), number(capture.get("loudest_dbfs"))
    exit_code = number(report.get("exit_code"))
    found = [
        ("Began", words.day_and_time(story.began_at)),
        ("Length", words.length(length_s) if length_s is not None else ""),
        ("Size of the file", words.size(size_bytes) if size_bytes is not None else ""),
        ("Frame size", f"{width:.0f} x {height:.0f}" if width is not None and height is not None else ""),
        ("Announced after", words.length(started_s) if started_s is not None else ""),
        ("File ready after the stop", words.length(ready_s) if ready_s is not None else ""),
        ("Audio, mean and peak", f"{mean:g} and {loudest:g} dBFS" if mean is not None and loudest is not None else ""),
        ("Restarts", str(restarts) if story.begin_s is not None else ""),
        ("Missing video", words.length(missing["video"]) if "video" in missing else ""),
        ("Missing audio", words.length(missing["audio"]) if "audio" in missing else ""),
        ("Least room on the volume", words.size(min(free)) if free else ""),
        ("Starts of this job", str(story.starts) if story.starts > 1 else ""),
        ("Error code", story.code),
        ("Exit code", f"{exit_code:.0f}" if exit_code is not None else ""),
        ("Version", text(report.get("version"))),
        *(("Kept", f"{name}, {words.size(size)}") for name, size in evidence.recordings[:20]),
    ]
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", fact)) for name, fact in found if fact),
        class_="facts",
    )


def _picture(content: bytes | None, caption: str) -> Html | None:
    kind = next((kind for magic, kind in PICTURES.items() if (content or b"").startswith(magic)), None)
    if content is None or kind is None:
        return None
    address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return _section(
        "Picture", element("figure", element("img", src=address, alt=caption), element("figcaption", caption))
    )


def _section(title: str, *content: Html | None) -> Html:
    return element("section", element("h2", title), *content)


def _list(lines: Sequence[str]) -> Html:
    return element("ul", *(element("li", line) for line in lines))


def _moments(story: Story) -> Html:
    head = element(
        "tr",
        element("th", "After", class_="number"),
        element("th", "In the recording", class_="number wide"),
        element("th", "UTC", class_="number wide"),
        element("th", "What"),
        element("th", "Then"),
    )
    return element("table", element("thead", head), element("tbody", *(_moment(story, one) for one in story.moments)))


def _moment(story: Story, moment: Moment) -> Html:
    in_file = "" if story.begin_s is None or moment.at_s < story.begin_s else _exact(moment.at_s - story.begin_s)
    clock = words.time_of_day(None if story.began_at is None else story.began_at + moment.at_s)
    what = [moment.what, element("small", moment.event, class_="code")]
    if moment.cause:
        what.append(element("small", moment.cause))
    restarted = f"restarts the {' and the '.join(moment.restarts)}" if moment.restarts else ""
    return element(
        "tr",
        element("td", _exact(moment.at_s), class_="number"),
        element("td", in_file, class_="number wide"),
        element("td", clock, class_="number wide"),
        element("td", *what),
        element(
            "td",
            element("span", moment.state, class_="code state" if moment.state in STATE_WORDS else "code"),
            element("small", restarted) if restarted else None,
        ),
        class_="fault" if moment.fault else None,
    )


def _exact(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s"
    return clock(seconds, 1)


def _gaps(story: Story) -> Html:
    head = element(
        "tr",
        element("th", "Missing"),
        element("th", "At, in the recording", class_="number"),
        element("th", "Length", class_="number"),
    )
    rows = [
        element(
            "tr",
            element("td", gap.what),
            element("td", _exact(gap.in_file_s), class_="number"),
            element("td", words.length(gap.length_s), class_="number"),
        )
        for gap in story.gaps
    ]
    note = element("p", "The last frame is held where video is missing; it is silent where audio is.", class_="quiet")
    return together(element("table", element("thead", head), element("tbody", *rows)), note)


def _pairs(facts: object) -> Html:
    rows = [
        element("tr", element("th", name, scope="row"), element("td", fact, class_="code"))
        for name, fact in words.pairs(facts)
    ]
    return element("table", element("tbody", *rows), class_="pairs")


def _has_environment(evidence: Evidence) -> bool:
    return bool(evidence.report.get("settings") or evidence.report.get("machine"))


def _environment(evidence: Evidence) -> Html:
    return _pairs({**mapping(evidence.report.get("machine")), **mapping(evidence.report.get("settings"))})


def _log(evidence: Evidence) -> Html | None:
    if not evidence.log_head:
        return None
    lines = [_line(line) for line in evidence.log_head]
    if evidence.left_out != 0:
        many = "Many" if evidence.left_out is None else str(evidence.left_out)
        lines.append(
            element("li", f"{many} lines are left out here; all of them are in recorder.log", class_="omitted")
        )
    lines += [_line(line) for line in evidence.log_tail]
    levels = [
        element(
            "label",
            element("input", type="radio", name="level", id=f"level-{name}", checked=name == "DEBUG"),
            f" {title}",
        )
        for name, title in (("DEBUG", "all lines"), ("INFO", "without debug"), ("WARNING", "warnings and errors"))
    ]
    search = element(
        "label",
        "Lines with: ",
        element("input", type="search", id="words", autocomplete="off", spellcheck="false"),
        hidden=True,
    )
    return _section(
        "Log",
        element("div", *levels, search, class_="levels"),
        element("ol", *lines, class_="log", tabindex=0, aria_label="Log"),
    )


def _line(line: LogLine) -> Html:
    if not line.level and not line.at:
        return element("li", line.text, class_="plain")
    moment = line.at[11:23] if len(line.at) > 23 or line.at.endswith("Z") else line.at
    return element(
        "li",
        element("time", moment),
        " ",
        element("b", line.level),
        " ",
        element("i", line.state),
        " ",
        line.text,
        class_=line.level or "plain",
    )
