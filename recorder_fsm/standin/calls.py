"""The life of calls and their recording jobs, and the events that each turn sends (contract 2.4, 3.2, 5)."""

from __future__ import annotations

import asyncio
from typing import Any

from recorder_fsm.standin.events import Hub
from recorder_fsm.standin.state import Call, CallIds, Job, State, new_id, now_ms

START_TIMED_OUT = "failed to start recording job: timed out waiting for bot to join call"
DEMO_CALL_ID = "democa11channe100000000000"
DEMO_POST_ID = "democa11post00000000000000"
DEMO_RECORDING_ID = "democa11recording000000000"


class NoSuchCallError(LookupError):
    """Say which call or recording there is none of."""


class Calls:
    """Own the turns of calls and jobs; every turn ends in `State.changed`."""

    def __init__(self, state: State, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def add_demo_call(self) -> CallIds:
        """Make the call that is always there; its job waits without limit."""
        call = Call(DEMO_CALL_ID, DEMO_POST_ID, "Town Square")
        call.jobs.append(Job(DEMO_RECORDING_ID, call.id))
        self._state.calls[call.id] = call
        self._state.changed()
        return self.ids(call)

    def create_call(
        self, *, name: str = "Town Square", scene: dict[str, Any] | None = None, viewable: bool = True
    ) -> CallIds:
        """Make a call with one recording job that waits for its recorder, and return their ids."""
        call = Call(new_id(), new_id(), name, scene=dict(scene or {}), viewable=viewable)
        self._state.calls[call.id] = call
        self.create_job(call.id)
        return self.ids(call)

    def create_job(self, call_id: str) -> CallIds:
        """Make one more job in a call; the plugin knows only the newest, as after a restarted recording."""
        call = self.find(call_id)
        job = Job(new_id(), call.id)
        call.jobs.append(job)
        call.recordings[job.id] = {}
        limit_s = self._state.knobs.start_limit_s
        if limit_s is not None:
            self._timers[job.id] = asyncio.get_running_loop().call_later(limit_s, self._start_timed_out, job)
        self._announce(job)
        return self.ids(call)

    def ids(self, call: Call) -> CallIds:
        job = call.job
        return CallIds(call.id, call.post_id, job.id if job else "", self._state.bot_token)

    def find(self, call_id: str) -> Call:
        """Return a call; raises `NoSuchCallError`."""
        try:
            return self._state.calls[call_id]
        except KeyError as error:
            raise NoSuchCallError(f"there is no call {call_id}") from error

    def refusal_to_join(self, call_id: str, recording_id: str) -> str:
        """Return why the plugin refuses the bot to join, in its words, or nothing (contract 3.2)."""
        call = self._state.calls.get(call_id)
        if call is None or call.end_at or call.job is None or call.job.end_at:
            return "no job in progress"
        if call.job.id != recording_id or call.job.start_at:
            return "job not in progress or already started"
        return ""

    def start(self, job: Job) -> None:
        """Stamp a job as started."""
        job.start_at = now_ms()
        self._announce(job)

    def fail(self, job: Job, text: str) -> None:
        """End a job with an error text."""
        job.err = text
        self._end_job(job)

    def stop_recording(self, recording_id: str) -> None:
        """End a job as its host does: the job is over, then the page is told. Raises `NoSuchCallError`.

        A plugin that is off hears no host.
        """
        job = self._state.find_job(recording_id) if not self._state.plugin_off else None
        if job is None:
            raise NoSuchCallError(f"there is no recording {recording_id}")
        self._end_job(job)
        self._hub.to_bot("job_stop", {"job_id": job.id})

    def end_call(self, call_id: str) -> None:
        """End a call for everyone; the real server does so at most 5 s after its event, this one at once."""
        call = self.find(call_id)
        call.end_at = call.end_at or now_ms()
        if call.job is not None:
            self._end_job(call.job)
        self._hub.to_call("call_end", {}, call.id)
        self._state.changed()

    def everyone_leaves(self, call_id: str) -> None:
        """Let all people leave; the job ends when the bot has followed them. A plugin that is off does not see it."""
        call = self.find(call_id)
        call.everyone_left = True
        if call.job is not None and not self._state.plugin_off:
            self._hub.to_bot("job_stop", {"job_id": call.job.id})
        self._state.changed()

    def person_does(self, call_id: str, event: str, person_id: str) -> int:
        """Tell the call that a person joined, left, talks or shares a screen (contract 3.6); returns who was told.

        `event`: as the plugin names it, `user_voice_on` for example. A person has one session, of the same id.
        """
        user = "user_id" if event in ("user_joined", "user_left") else "userID"
        return self._hub.to_call(event, {user: person_id, "session_id": person_id}, self.find(call_id).id)

    def bot_left(self, job: Job) -> None:
        """End a job whose bot went away, without an error; the call too if nobody else is there.

        A plugin that drains has closed its database already: it ends nothing any more.
        """
        if self._state.plugin_off:
            return
        call = self._state.calls.get(job.call_id)
        if call is not None and call.everyone_left:
            call.end_at = call.end_at or now_ms()
        self._end_job(job)

    def forget_timers(self) -> None:
        """Cancel every start limit, for a reset or a shutdown."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _start_timed_out(self, job: Job) -> None:
        if not job.start_at and not job.end_at:
            self.fail(job, START_TIMED_OUT)

    def _end_job(self, job: Job) -> None:
        if not job.end_at:
            job.end_at = now_ms()
            self._announce(job)
        self._state.changed()

    def _announce(self, job: Job) -> None:
        if (timer := self._timers.get(job.id)) is not None and (job.start_at or job.end_at):
            timer.cancel()
            del self._timers[job.id]
        self._hub.to_call("call_job_state", {"callID": job.call_id, "jobState": job.wire()}, job.call_id)
        self._state.changed()
