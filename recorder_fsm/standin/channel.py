"""The channel page's data: the thread of recordings, their files and posters, recorders to start and stop."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.errors import RecorderError
from recorder_fsm.media.output_file import RecordingFiles
from recorder_fsm.standin.access import BodyError, read_json
from recorder_fsm.standin.botapi import ID
from recorder_fsm.standin.calls import Calls, NoSuchCallError
from recorder_fsm.standin.launcher import Launcher, recorded_s
from recorder_fsm.standin.scene import scene_of
from recorder_fsm.standin.state import Post, State
from recorder_fsm.standin.uploads import file_info

POSTER_AT_S = 2.0
LIVE = frozenset({"starting", "recording", "publishing"})


class Channel:
    """Serve what people see and press on the channel page; it is polled every second."""

    def __init__(self, state: State, calls: Calls, launcher: Launcher, site_url: str) -> None:
        self._state = state
        self._calls = calls
        self._launcher = launcher
        self.site_url = site_url

    def routes(self) -> list[web.RouteDef]:
        one = f"/standin/recordings/{{recording_id:{ID}}}"
        return [
            web.get("/standin/thread", self.thread),
            web.get("/standin/scene", self.scene),
            web.get(f"/standin/files/{{file_id:{ID}}}", self.file),
            web.get(f"/standin/posters/{{recording_id:{ID}}}", self.poster),
            web.post("/standin/recordings", self.start),
            web.get("/standin/recordings", self.recordings),
            web.get(one, self.recording),
            web.delete(one, self.stop),
            web.post(f"{one}/stop", self.stop),
        ]

    async def thread(self, _: web.Request) -> web.Response:
        """Reply with all posts, newest last, and the recorders that run, with their state."""
        described = [self._launcher.describe(one) for one in self._launcher.recorders.values()]
        live = [one for one in described if one["state"] in LIVE]
        failed = [one for one in described if one["state"] in {"failed", "discarded"}]
        return web.json_response(
            {"posts": [self._post(post) for post in self._state.posts], "live": live, "ended": failed}
        )

    async def scene(self, request: web.Request) -> web.Response:
        """Reply with what the call page draws; an unknown or missing `call_id` gives the ordinary scene."""
        call = self._state.calls.get(request.query.get("call_id", ""))
        return web.json_response(scene_of(self._state, call))

    async def file(self, request: web.Request) -> web.FileResponse:
        """Reply with a recording for a player that has no session, in ranges if it asks so."""
        stored = self._state.files.get(request.match_info["file_id"])
        if stored is None:
            raise web.HTTPNotFound(text="there is no such file")
        return web.FileResponse(stored.path, headers={"Content-Type": stored.mime_type})

    async def poster(self, request: web.Request) -> web.FileResponse:
        """Reply with a frame of what was published, made when it is first asked for."""
        recording_id = request.match_info["recording_id"]
        path = self._state.data_dir / f"poster-{recording_id}.png"
        posted = (post.file_id for post in self._state.posts if post.recording_id == recording_id)
        stored = next(filter(None, map(self._state.files.get, posted)), None)
        if not path.exists() and stored is not None:
            await RecordingFiles(PROGRAM_ENV).take_poster(stored.path, path, POSTER_AT_S)
        if not path.exists():
            raise web.HTTPNotFound(text="there is no poster")
        return web.FileResponse(path)

    async def start(self, request: web.Request) -> web.Response:
        """Make a call and start a recorder in it; 201 with its description."""
        try:
            options = await read_json(request) if request.can_read_body else {}
            if not isinstance(options, dict):
                raise ValueError("options are a JSON object")
            recorder = await self._launcher.start(options, self.site_url)
        except (BodyError, ValueError) as problem:
            raise web.HTTPBadRequest(text=str(problem)) from problem
        except RecorderError as problem:
            raise web.HTTPInternalServerError(text=str(problem)) from problem
        return web.json_response(self._launcher.describe(recorder), status=201)

    async def recordings(self, _: web.Request) -> web.Response:
        """Reply with all recorders that were started here, oldest first."""
        return web.json_response([self._launcher.describe(one) for one in self._launcher.recorders.values()])

    async def recording(self, request: web.Request) -> web.Response:
        """Reply with one recorder: state, exit code, elapsed seconds, last lines."""
        return web.json_response(self._launcher.describe(self._recorder(request)))

    async def stop(self, request: web.Request) -> web.Response:
        """Stop a recording as its host would."""
        recorder = self._recorder(request)
        self._calls.stop_recording(recorder.ids.recording_id)
        return web.json_response(self._launcher.describe(recorder))

    def _recorder(self, request: web.Request) -> Any:
        try:
            return self._launcher.find(request.match_info["recording_id"])
        except NoSuchCallError as problem:
            raise web.HTTPNotFound(text=str(problem)) from problem

    def _post(self, post: Post) -> dict[str, Any]:
        stored = self._state.files.get(post.file_id)
        job = self._state.find_job(post.recording_id)
        call = self._state.calls.get(post.call_id)
        return {
            "id": post.id,
            "create_at": post.create_at,
            "recording_id": post.recording_id,
            "call_name": call.name if call else "",
            "file": file_info(stored, self._state) if stored else None,
            "url": f"/standin/files/{stored.id}" if stored else None,
            "poster_url": f"/standin/posters/{post.recording_id}" if stored else None,
            "duration_text": duration_text(recorded_s(job)),
            "error": job.err if job else "",
        }


def duration_text(seconds: float) -> str:
    """Return a duration as people write it: `0:07`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
