"""Who spoke when: from the page's events to chapters, JSON and WebVTT, whatever the names and the events are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from recorder_fsm.mattermost.people_names import names_of
from recorder_fsm.media.call_timeline import MOST_CHAPTERS, CallTimeline
from recorder_fsm.media.people import MOST_EVENTS, People, PeopleEvent, coarser, is_coarse, read_events

ANNA, BERT, BOT = "a" * 26, "b" * 26, "z" * 26
NAMES = {ANNA: "Anna Kowalska", BERT: "山田 花子"}
HOSTILE = [
    "x\n\n00:00:01.000 --> 00:00:02.000\nforged",
    "a --> b",
    "<script>alert(1)</script>",
    "</script></v><b>&amp;",
    "n" * 10_000,
    "\u202egnp.exe",
    "\x00\x1b[31m\x07",
    "  ",
]


def event(at_s: float, kind: str, who: str = ANNA) -> PeopleEvent:
    return PeopleEvent(at_s, kind, who, who)


def timeline(
    events: Sequence[PeopleEvent], *, length_s: float = 60.0, head_s: float = 0.0, names: Mapping[str, str] = NAMES
) -> CallTimeline:
    return CallTimeline.of(events, head_s=head_s, length_s=length_s, names=names, coarse=False)


def spans(of: CallTimeline) -> list[tuple[str, str, float, float]]:
    found = json.loads(of.to_json("rec", []))["spans"]
    return [(one["what"], one["user_id"], one["begin_s"], one["end_s"]) for one in found]


def cues(text: str) -> list[tuple[float, float, str]]:
    """Read WebVTT strictly, as the specification has it: blocks behind a blank line, times, one line of cue text."""
    first, *blocks = text.removesuffix("\n").split("\n\n")
    assert first == "WEBVTT"
    found = []
    for block in blocks:
        _number, times, words = block.split("\n")
        match = re.fullmatch(r"(\d\d+):(\d\d):(\d\d\.\d{3}) --> (\d\d+):(\d\d):(\d\d\.\d{3})", times)
        assert match is not None, times
        begin, end = (
            int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            for hours, minutes, seconds in (match.groups()[:3], match.groups()[3:])
        )
        assert begin < end
        assert re.fullmatch(r"<v [^<>\n]+>[^<>&]+</v>", words), words
        assert not re.search(r"&(?!amp;|lt;|gt;)", words)
        found.append((begin, end, words))
    assert found == sorted(found, key=lambda one: one[0])
    return found


def test_events_become_spans_on_the_clock_of_the_file() -> None:
    """What was captured in front of the begin is not in the file; what never ended ends with it."""
    events = [event(0, "joined"), event(3, "voice_on"), event(8.5, "voice_off"), event(9, "joined", BERT),
              event(12, "screen_on", BERT), event(20, "left", BERT)]  # fmt: skip
    assert spans(timeline(events, head_s=2.0, length_s=30.0)) == [
        ("present", ANNA, 0.0, 30.0),
        ("voice", ANNA, 1.0, 6.5),
        ("present", BERT, 7.0, 18.0),
        ("screen", BERT, 10.0, 18.0),
    ]


def test_what_lies_outside_of_the_file_is_left_out() -> None:
    """Spoken before the begin, or after the end that was cut off."""
    events = [event(0, "voice_on"), event(1, "voice_off"), event(50, "voice_on"), event(55, "voice_off")]
    assert [one for one in spans(timeline(events, head_s=2.0, length_s=30.0)) if one[0] == "voice"] == []


def test_chapters_follow_who_has_the_floor() -> None:
    """Not each word: what is shorter than ten seconds is passed over; a shared screen is named."""
    events = [event(0.5, "voice_on"), event(20, "voice_off"), event(20, "voice_on", BERT), event(24, "voice_off", BERT),
              event(24, "voice_on"), event(40, "voice_off"), event(41, "voice_on", BERT), event(60, "screen_on", BERT),
              event(80, "screen_off", BERT), event(90, "voice_off", BERT)]  # fmt: skip
    found = [(chapter.at_s, chapter.title) for chapter in timeline(events, length_s=90).chapters()]
    assert found == [
        (0.0, "Anna Kowalska"),
        (41.0, "山田 花子"),
        (60.0, "山田 花子 shares a screen"),
        (80.0, "山田 花子"),
    ]


def test_one_chapter_is_none() -> None:
    """A recording in which one person speaks needs no list."""
    assert timeline([event(1, "voice_on")]).chapters() == []
    assert timeline([]).chapters() == []


def test_day_long_quarrel_has_a_hundred_chapters_at_most() -> None:
    """They become longer, each still at its place and in order."""
    events = [
        event(at, kind, (ANNA, BERT)[at // 20 % 2])
        for at in range(0, 36_000, 20)
        for at, kind in ((at, "voice_on"), (at + 19, "voice_off"))
    ]
    longer = [event(36_000, "voice_on"), event(40_000, "voice_off"), event(40_000, "voice_on", BERT)]
    chapters = timeline([*events, *longer], length_s=50_000).chapters()
    assert 2 <= len(chapters) <= MOST_CHAPTERS
    assert [one.at_s for one in chapters] == sorted({one.at_s for one in chapters})


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_name_cannot_leave_its_place(name: str) -> None:
    """No name forges a cue, ends a tag, breaks the JSON or a chapter's line, however long it is."""
    events = [event(0, "voice_on"), event(20, "voice_off"), event(20, "voice_on", BERT), event(40, "screen_on")]
    made = timeline(events, names={ANNA: name, BERT: "Bert"})
    assert len(cues(made.to_webvtt())) == 3
    shown = json.loads(made.to_json("rec", []))["people"][0]["name"]
    for text in (shown, *(chapter.title for chapter in made.chapters())):
        assert text.isprintable()
        assert 0 < len(text) <= 100


def test_people_without_a_name_are_numbered() -> None:
    """The server was away at the end: who is who can still be told apart."""
    made = timeline([event(0, "voice_on"), event(20, "voice_on", BERT)], names={})
    assert [one["name"] for one in json.loads(made.to_json("rec", []))["people"]] == ["Participant 1", "Participant 2"]


# --- the events as they come ------------------------------------------------------------------------------------------


def told(kind: str, who: str) -> dict[str, str]:
    return {"event": kind, "session": who, "user": who}


def state(*who: str, screen: str = "") -> dict[str, object]:
    return {"event": "state", "sessions": [{"session": one, "user": one} for one in who], "screen": screen}


def test_list_of_all_is_compared_with_what_is_known(tmp_path: Path) -> None:
    """As it comes at the join, and after a connection was lost: those who left meanwhile have left."""
    now_s = 0.0
    people = People(tmp_path / "people.jsonl", lambda: now_s)
    people.take(state(ANNA, BERT, screen=ANNA), time.time() * 1000)
    now_s = 30.0
    people.take(state(BERT), time.time() * 1000)
    kinds = [(one.kind, one.user) for one in people.events]
    assert kinds[:3] == [("joined", ANNA), ("joined", BERT), ("screen_on", ANNA)]
    assert kinds[3:] == [("left", ANNA)]
    assert read_events(tmp_path / "people.jsonl") == people.events


def test_event_that_waited_has_its_own_time(tmp_path: Path) -> None:
    """A recorder that stood still hears it late; a clock that was set, or a lie, is not believed."""
    people = People(tmp_path / "people.jsonl", lambda: 100.0)
    for sent_ms in ((time.time() - 20) * 1000, (time.time() + 500) * 1000, 0, "x", None, float("nan")):
        people.take(told("voice_on", ANNA), sent_ms)
    first, *others = [one.at_s for one in people.events]
    assert first == pytest.approx(80, abs=1)
    assert others == [100.0] * 5


@pytest.mark.parametrize(
    "detail",
    [None, [], "x", {"event": "voice_on"}, {"event": "x", "session": ANNA, "user": ANNA}, {"event": "state"},
     {"event": "voice_on", "session": "A" * 26, "user": ANNA}, {"event": "voice_on", "session": ANNA, "user": [ANNA]},
     {"event": "state", "sessions": [1, None, {"session": ANNA}], "screen": {}}],
    ids=str,
)  # fmt: skip
def test_message_of_another_form_is_passed_over(detail: object, tmp_path: Path) -> None:
    """What a page says is not trusted."""
    people = People(tmp_path / "people.jsonl", lambda: 1.0)
    people.take(detail, time.time() * 1000)
    assert people.events == []


def test_events_without_end_are_made_coarser(tmp_path: Path) -> None:
    """Memory and file have a limit; joins and shared screens outlive the pauses of somebody's speech."""
    now_s = 0.0
    people = People(tmp_path / "people.jsonl", lambda: now_s)
    people.take(told("joined", ANNA), None)
    assert not is_coarse(tmp_path / "people.jsonl")
    for _ in range(MOST_EVENTS):
        now_s += 0.5
        people.take(told("voice_on", ANNA), None)
        now_s += 0.3
        people.take(told("voice_off", ANNA), None)
    people.take(told("screen_on", ANNA), None)
    assert is_coarse(tmp_path / "people.jsonl")
    assert len(people.events) <= MOST_EVENTS
    kinds = [one.kind for one in people.events]
    assert kinds[0] == "joined"
    assert kinds[-1] == "screen_on"
    assert read_events(tmp_path / "people.jsonl") == people.events
    assert len(coarser([event(n, "joined") for n in range(50)], 10)) == 10


def test_file_that_was_cut_or_damaged_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A kill leaves half a line; rubbish is none of ours."""
    path = tmp_path / "people.jsonl"
    whole = json.dumps([1.5, "joined", ANNA, ANNA])
    path.write_text(
        f'{whole}\nrubbish\n[1]\nnull\n[1,"joined",{{}},[]]\n[{"9" * 300}]\n[-1,"left","{ANNA}","{ANNA}"]\n[2.0, "vo'
    )
    assert read_events(path) == [PeopleEvent(1.5, "joined", ANNA, ANNA)]
    assert read_events(tmp_path / "missing") == []


def test_volume_that_takes_nothing_is_no_reason_to_fail(tmp_path: Path, log: list[str]) -> None:
    """Said once; the events are kept in memory."""
    people = People(tmp_path / "nowhere" / "people.jsonl", lambda: 1.0)
    for _ in range(3):
        people.take(told("voice_on", ANNA), None)
    assert len(people.events) == 3
    assert len([line for line in log if "written down" in line]) == 1


async def test_answer_with_ids_that_are_none_costs_no_other_name() -> None:
    """A server's answer may hold anything; whom it names rightly is named."""

    class Routes:
        async def users(self, ids: list[str]) -> list[dict[str, object]]:
            return [{"id": []}, {"id": {}}, {"username": "nobody"}, {"id": ids[0], "username": "anna"}]

    assert await names_of({ANNA}, Routes(), 5.0) == {ANNA: "anna"}  # type: ignore[arg-type]
