"""The sentences: what people in the call read of a transition."""

from __future__ import annotations

from collections.abc import Mapping

from recorder_fsm.machine.lifecycle import Audience, Event, State, Transition

SENTENCES: Mapping[Event, str] = {
    Event.STOP_REQUESTED: "The recorder was stopped before the recording began.",
    Event.CALL_ENDED: "The call or the recording ended before the recording began.",
}
"""What is told of an event without a cause."""
NO_RETURN = (Event.BROWSER_LOST, Event.DISPLAY_LOST, Event.CALL_LOST)
"""After these the recorder would have to join anew, which the plugin allows nobody after `started` (contract 3.2)."""


def told(transition: Transition, sentence: str) -> str:
    """Return the one line that people read of a transition; `sentence` is that of its cause, "" where it has none.

    The plugin is told nothing that people would read.
    """
    if transition.tells is Audience.PLUGIN:
        return ""
    sentence = sentence or SENTENCES.get(transition.event, "The recorder failed.")
    if transition.target is State.RECORDING:
        missing = "a picture" if transition.event is Event.PICTURE_LOST else "audio"
        return f"{sentence} The recording goes on without {missing}."
    if transition.target is not State.STOPPING:
        return sentence
    again = " It cannot join this recording again." if transition.event in NO_RETURN else ""
    return f"{sentence}{again} What was recorded until then will be published."
