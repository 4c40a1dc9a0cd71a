"""The files of `pages/`: for the recorder under its header rule, for people without it (contract 3.1)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from recorder_fsm.standin.access import PLUGIN
from recorder_fsm.standin.state import State

PAGES = Path(__file__).parent / "pages"
NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"


class Pages:
    """Serve the call page and the channel page from one folder of files without subfolders."""

    def __init__(self, state: State, folder: Path = PAGES) -> None:
        self._state = state
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{PLUGIN}/standalone/{{file:recording\\.html}}", self.standalone, name="page"),
            web.get(f"{PLUGIN}/standalone/{{file:{NAME}}}", self.standalone, name="asset"),
            web.get(f"/standin/pages/{{file:{NAME}}}", self.for_people),
            web.get("/", self.channel),
        ]

    async def standalone(self, request: web.Request) -> web.StreamResponse:
        """Reply with a file if the request says that it is a recorder's."""
        if request.headers.get("X-Calls-Recorder") != "true" and not self._same_host_referer(request):
            raise web.HTTPForbidden(text="Forbidden")
        return self._send(request.match_info["file"])

    async def for_people(self, request: web.Request) -> web.StreamResponse:
        """Reply with a file to anyone."""
        return self._send(request.match_info["file"])

    async def channel(self, _: web.Request) -> web.StreamResponse:
        """Reply with the page on which people watch the thread."""
        return self._send("channel.html")

    def _same_host_referer(self, request: web.Request) -> bool:
        referer = request.headers.get("Referer", "")
        return self._state.knobs.allow_referer and urlsplit(referer).netloc == request.host

    def _send(self, name: str) -> web.StreamResponse:
        path = self._folder / name
        if not path.is_file():
            raise web.HTTPNotFound(text="404 page not found")
        return web.FileResponse(path, headers={"Cache-Control": "no-store"})
