"""The drawn state diagram: it shows what the tables say, and everything lies inside its frame."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from recorder_fsm.machine.lifecycle import TRANSITIONS, State
from recorder_fsm.status import diagram
from recorder_fsm.status.diagram import TALL, WIDE, Shape

SVG = "{http://www.w3.org/2000/svg}"
shapes = pytest.mark.parametrize("shape", [WIDE, TALL], ids=lambda one: one.name)


def drawn(shape: Shape) -> ET.Element:
    return ET.fromstring(diagram.svg(shape))  # noqa: S314 - our own


@shapes
def test_each_state_and_each_arrow_is_drawn_once(shape: Shape) -> None:
    """The boxes are the states, the arrows are the pairs of the table, and an arrow tells its events."""
    svg = drawn(shape)
    boxes = [one.attrib["data-state"] for one in svg.iter(f"{SVG}g") if "data-state" in one.attrib]
    assert sorted(boxes) == sorted(state.value for state in State)
    arrows = {
        (one.attrib["data-from"], one.attrib["data-to"]): one.findtext(f"{SVG}title") or ""
        for one in svg.iter(f"{SVG}g")
        if "data-from" in one.attrib
    }
    assert set(arrows) == {(one.source.value, one.target.value) for one in TRANSITIONS}
    for one in TRANSITIONS:
        assert one.event.value in arrows[one.source.value, one.target.value]


@shapes
def test_all_lies_inside_the_frame_and_no_box_on_another(shape: Shape) -> None:
    """Nothing is cut off, and each name can be read."""
    svg = drawn(shape)
    left, top, width, height = map(float, svg.attrib["viewBox"].split())
    rects = []
    for rect in svg.iter(f"{SVG}rect"):
        x, y, wide, high = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        rects.append((x, y, x + wide, y + high))
        assert left <= x <= x + wide <= left + width
        assert top <= y <= y + high <= top + height
    for number, (x, y, right, bottom) in enumerate(rects):
        for other in rects[:number]:
            assert right <= other[0] or other[2] <= x or bottom <= other[1] or other[3] <= y
    for path in (one for group in svg.findall(f"{SVG}g") for one in group.iter(f"{SVG}path")):
        for x, y in re.findall(r"(-?[0-9.]+),(-?[0-9.]+)", path.attrib["d"]):
            assert left <= float(x) <= left + width
            assert top <= float(y) <= top + height


def test_way_of_a_recording_is_the_line() -> None:
    """From the start to a published recording, as the documents tell it."""
    assert [state.value for state in diagram.way()] == [
        "init", "display_up", "browser_joined", "recording", "stopping", "uploading", "done",
    ]  # fmt: skip
