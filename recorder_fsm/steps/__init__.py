"""The work of each state: one coroutine per state, which returns the event that happened, or raises.

Steps decide nothing about what may follow (`machine.lifecycle` does), and start and stop no resource by themselves
(`machine.resources` does, as the table of states says).
"""

from __future__ import annotations

from collections.abc import Mapping

from recorder_fsm.machine.lifecycle import State
from recorder_fsm.machine.runner import Step
from recorder_fsm.media.output_file import RecordingFiles
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.finish import Finish
from recorder_fsm.steps.publish import Publish
from recorder_fsm.steps.record import Record
from recorder_fsm.steps.start import Start


def steps_of(job: JobContext, files: RecordingFiles) -> Mapping[State, Step]:
    """Return the steps of one job by state."""
    start, finish = Start(job), Finish(job, files)
    publish = Publish(job, finish)
    if job.make_channel is not None:
        from recorder_fsm.steps.post_parts import PostParts  # noqa: PLC0415 - no other job needs it

        publish = PostParts(job, finish, files)
    return {
        State.INIT: start.prepare,
        State.DISPLAY_UP: start.join_call,
        State.BROWSER_JOINED: start.start_capture,
        State.RECORDING: Record(job).record,
        State.STOPPING: finish.finish,
        State.UPLOADING: publish.publish,
    }
