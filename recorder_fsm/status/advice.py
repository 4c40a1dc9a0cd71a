"""What a person can do about what is wrong: the words of the page that go with an error code."""

from __future__ import annotations

OF_THE_PAGE = {
    "encoder_stands": "Look at the CPU time that the machine leaves to the recorder; the capture is started anew.",
}


def advice(code: str) -> str:
    """Return what to do about a code, "" where nobody has written it down."""
    return OF_THE_PAGE.get(code, "")
