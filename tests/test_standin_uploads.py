"""The stand-in's upload sessions: creation, parts, the cap, the first-part rule, vanishing clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.network import NEVER_LINGER
from recorder_fsm.standin.state import ID_LENGTH, UploadSession
from recorder_fsm.standin.uploads import FIRST_PART_BYTES

UPLOADS = "/plugins/com.mattermost.calls/bot/uploads"


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    """A server without the 5 MiB rule, so that parts can be small."""
    async with StandIn(data_dir=tmp_path, knobs={"five_mib_rule": False}) as server:
        yield server


async def create(bot_client: aiohttp.ClientSession, ids: CallIds, size: int, **body: Any) -> aiohttp.ClientResponse:
    fields = {"channel_id": ids.call_id, "filename": "a.mp4", "file_size": size, **body}
    return await bot_client.post(UPLOADS, json=fields)


async def opened(bot_client: aiohttp.ClientSession, ids: CallIds, size: int) -> str:
    """Open a session and return its id."""
    upload_id: str = (await (await create(bot_client, ids, size)).json())["id"]
    return upload_id


async def offset(bot_client: aiohttp.ClientSession, upload_id: str) -> int:
    value: int = (await (await bot_client.get(f"{UPLOADS}/{upload_id}")).json())["file_offset"]
    return value


async def raw_post(standin: StandIn, upload_id: str, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a data POST that declares `length` bytes and sends none yet."""
    host, port = standin.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {UPLOADS}/{upload_id} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n"
    writer.write(f"{head}Authorization: Bearer {standin.state.bot_token}\r\n\r\n".encode())
    return reader, writer


def session_of(standin: StandIn, upload_id: str) -> UploadSession:
    return standin.state.sessions[upload_id]


async def test_creation_replies_200_with_a_fresh_session(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A session has a new id of 26 characters and starts at 0; the size may exceed MaxFileSize."""
    first, second = await create(bot_client, ids, 10), await create(bot_client, ids, 10**12)
    one, other = await first.json(), await second.json()
    assert (first.status, second.status) == (200, 200)
    assert one["id"] != other["id"]
    assert len(one["id"]) == ID_LENGTH
    assert (one["file_offset"], one["file_size"], one["type"]) == (0, 10, "attachment")


@pytest.mark.parametrize(
    "body", [{"file_size": 0}, {"file_size": -1}, {"filename": ""}, {"channel_id": "c" * 26}, {"file_size": "9"}]
)
async def test_creation_refuses_what_cannot_be_uploaded(
    body: dict[str, Any], standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """An empty file, no name or an unknown channel is 400, and no session is made."""
    reply = await create(bot_client, ids, 10, **body)
    assert reply.status == 400
    assert standin.state.sessions == {}


@pytest.mark.parametrize("chunked", [False, True])
async def test_whole_file_replies_file_info(
    chunked: bool, standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """One part with all bytes completes the file, with a length or chunked; the session is gone then."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"hello"
        yield b"world"

    upload_id = await opened(bot_client, ids, 10)
    reply = await bot_client.post(f"{UPLOADS}/{upload_id}", data=pieces() if chunked else b"helloworld")
    info = await reply.json()
    assert reply.status == 200
    assert (info["name"], info["size"], info["mime_type"]) == ("a.mp4", 10, "video/mp4")
    assert standin.uploaded(info["id"]).read_bytes() == b"helloworld"
    assert (await bot_client.get(f"{UPLOADS}/{upload_id}")).status == 404
    assert (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"x")).status == 404


async def test_parts_continue_at_the_stored_offset(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A part that is not the last is 204 without a body, and the offset says how to go on."""
    upload_id = await opened(bot_client, ids, 10)
    reply = await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"hell")
    assert (reply.status, await reply.read()) == (204, b"")
    assert await offset(bot_client, upload_id) == 4
    info = await (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"oworld")).json()
    assert standin.uploaded(info["id"]).read_bytes() == b"helloworld"


async def test_bytes_beyond_the_declared_size_are_ignored(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A body longer than the file completes it with the first bytes."""
    upload_id = await opened(bot_client, ids, 4)
    info = await (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"hello")).json()
    assert standin.uploaded(info["id"]).read_bytes() == b"hell"


async def test_empty_part_does_not_advance(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """An empty body is a 204 that leaves the offset where it was."""
    upload_id = await opened(bot_client, ids, 4)
    await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"he")
    assert (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"")).status == 204
    assert await offset(bot_client, upload_id) == 2


@pytest.mark.parametrize(("first", "size", "status"), [(9, 10, 400), (10, 10, 200)])
async def test_small_first_part_must_be_the_whole_file(
    first: int, size: int, status: int, standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """With the rule on, a first part under 5 MiB is thrown away unless it is everything."""
    standin.state.knobs.five_mib_rule = True
    upload_id = await opened(bot_client, ids, size)
    reply = await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"x" * first)
    assert reply.status == status
    if status == 400:
        assert await offset(bot_client, upload_id) == 0
        assert session_of(standin, upload_id).path.read_bytes() == b""


async def test_first_part_of_5_mib_is_kept_and_later_ones_may_be_small(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The rule looks at the first part only."""
    standin.state.knobs.five_mib_rule = True
    upload_id = await opened(bot_client, ids, FIRST_PART_BYTES + 2)
    assert (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"x" * FIRST_PART_BYTES)).status == 204
    assert (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"y")).status == 204
    info = await (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"z")).json()
    assert standin.uploaded(info["id"]).stat().st_size == FIRST_PART_BYTES + 2


async def test_part_over_the_cap_is_answered_early_and_the_connection_closed(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The 204 comes while the body is still being sent, then the server closes."""
    standin.state.knobs.max_file_size = 4
    upload_id = await opened(bot_client, ids, 10)
    reader, writer = await raw_post(standin, upload_id, 10)
    writer.write(b"helloX")
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read()
    writer.close()
    assert b" 204 " in head
    assert b"connection: close" in head.lower()
    assert rest == b""
    assert await offset(bot_client, upload_id) == 4


async def test_part_of_exactly_the_cap_keeps_the_connection(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A part that fits is no reason to close, with a length or chunked."""
    standin.state.knobs.max_file_size = 4

    async def chunked() -> AsyncIterator[bytes]:
        yield b"owor"

    upload_id = await opened(bot_client, ids, 10)
    first = await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"hell")
    second = await bot_client.post(f"{UPLOADS}/{upload_id}", data=chunked())
    assert [first.status, second.status] == [204, 204]
    assert "close" not in {first.headers.get("Connection"), second.headers.get("Connection")}
    assert await offset(bot_client, upload_id) == 8


async def test_vanished_client_leaves_its_bytes(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A connection that dies in the middle of a part is the end of the part, and no error."""
    upload_id = await opened(bot_client, ids, 10)
    session = session_of(standin, upload_id)
    _, writer = await raw_post(standin, upload_id, 10)
    writer.write(b"hello w")
    await standin.wait_for(lambda: session.bytes_received == 7)
    writer.close()
    await standin.wait_for(lambda: not session.busy)
    assert await offset(bot_client, upload_id) == 7
    assert session.path.read_bytes() == b"hello w"


@pytest.mark.parametrize(
    ("sent", "status", "kept"),
    [(FIRST_PART_BYTES + 10, b" 204 ", FIRST_PART_BYTES + 10), (1000, b" 400 ", 0)],
    ids=["all of it is kept", "too small a first part"],
)
async def test_fin_in_mid_body_ends_the_part_and_is_answered(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds, sent: int, status: bytes, kept: int
) -> None:
    """As by the real plugin: 204, and every byte that was sent is kept; the connection ends with the answer."""
    standin.state.knobs.five_mib_rule = True
    upload_id = await opened(bot_client, ids, 3 * FIRST_PART_BYTES)
    reader, writer = await raw_post(standin, upload_id, 2 * FIRST_PART_BYTES)
    writer.write(b"x" * sent)
    writer.write_eof()
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert status in answer
    assert await offset(bot_client, upload_id) == kept


async def test_rst_in_mid_body_loses_what_was_not_read(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """As by the real plugin: of 6 MiB that were sent less than a first part had been read; that is thrown away."""
    standin.state.knobs.five_mib_rule = True
    standin.set_faults({"route": "upload_data", "kind": "slow", "bytes_per_s": 1_000_000})
    upload_id = await opened(bot_client, ids, 3 * FIRST_PART_BYTES)
    session = session_of(standin, upload_id)
    _, writer = await raw_post(standin, upload_id, 2 * FIRST_PART_BYTES)
    writer.write(b"x" * 6 * 1024 * 1024)
    await standin.wait_for(lambda: session.bytes_received)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NEVER_LINGER)
    writer.transport.abort()
    await standin.wait_for(lambda: not session.busy)
    assert 0 < session.bytes_received < FIRST_PART_BYTES
    assert await offset(bot_client, upload_id) == 0
    assert standin.requests("upload_data")[0].status == "dropped"


@pytest.mark.parametrize(("at_byte", "kept"), [(FIRST_PART_BYTES + 1, FIRST_PART_BYTES + 1), (2_900_000, 0)])
@pytest.mark.parametrize("kind", ["ends_at", "cut_at"])
async def test_way_that_breaks_in_mid_body_is_a_knob(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds, kind: str, at_byte: int, kept: int
) -> None:
    """`ends_at` is a FIN on the way, which is answered; `cut_at` a RST, which is not. Too small a part is lost."""
    standin.state.knobs.five_mib_rule = True
    standin.set_faults({"route": "upload_data", "kind": kind, "at_byte": at_byte})
    upload_id = await opened(bot_client, ids, 3 * FIRST_PART_BYTES)
    part = bot_client.post(f"{UPLOADS}/{upload_id}", data=b"x" * 6 * 1024 * 1024)
    if kind == "ends_at":
        assert (await part).status == (204 if kept else 400)
    else:
        with pytest.raises(aiohttp.ClientError):
            await part
    assert await offset(bot_client, upload_id) == kept


async def test_part_that_stands_keeps_what_was_read_and_no_more(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """`stand_at` reads so far and no further, however much has come, until the faults are others; then it is a RST."""
    standin.set_faults({"route": "upload_data", "kind": "stand_at", "at_byte": FIRST_PART_BYTES + 1})
    upload_id = await opened(bot_client, ids, 6 * 1024 * 1024)
    session = session_of(standin, upload_id)
    part = asyncio.create_task(bot_client.post(f"{UPLOADS}/{upload_id}", data=b"x" * 6 * 1024 * 1024))
    await standin.wait_for(lambda: session.bytes_received == FIRST_PART_BYTES + 1)
    assert (session.busy, part.done()) == (True, False)
    standin.set_faults()
    with pytest.raises(aiohttp.ClientError):
        await part
    assert await offset(bot_client, upload_id) == FIRST_PART_BYTES + 1


async def test_second_part_at_once_is_refused(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """While one part is being read another is 400, and stores nothing."""
    upload_id = await opened(bot_client, ids, 10)
    session = session_of(standin, upload_id)
    _, writer = await raw_post(standin, upload_id, 10)
    writer.write(b"he")
    await standin.wait_for(lambda: session.bytes_received == 2)
    reply = await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"xx")
    writer.close()
    assert reply.status == 400
    assert "more than one request" in await reply.text()
    await standin.wait_for(lambda: not session.busy)
    assert session.path.read_bytes() == b"he"


@pytest.mark.parametrize(
    ("given", "published"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\\b.mp4", "b.mp4"),
        ("..", "recording"),
        ("Gespräch 山.mp4", "Gespräch 山.mp4"),
        ("山" * 300 + ".mp4", "山" * 56 + ".mp4"),
    ],
)
async def test_saved_recording_is_published_under_its_last_name(
    given: str, published: str, standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A saved file appears in `published`, and nowhere else, whatever it is called."""
    upload_id = (await (await create(bot_client, ids, 2, filename=given)).json())["id"]
    info = await (await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"hi")).json()
    body = {"PostID": ids.post_id, "FileIDs": [info["id"]], "JobID": ids.recording_id}
    url = f"/plugins/com.mattermost.calls/bot/calls/{ids.call_id}/recordings"
    for _ in range(2):
        assert (await bot_client.post(url, json=body)).status == 200
    folder = standin.data_dir / "published"
    assert [path.name for path in folder.iterdir()] == [published]
    assert (folder / published).read_bytes() == b"hi"


async def test_two_recordings_of_one_name_are_both_published(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A name that another file has gets a number."""
    for content in (b"11", b"22"):
        upload_id = await opened(bot_client, ids, 2)
        info = await (await bot_client.post(f"{UPLOADS}/{upload_id}", data=content)).json()
        body = {"PostID": ids.post_id, "FileIDs": [info["id"]], "JobID": ids.recording_id}
        await bot_client.post(f"/plugins/com.mattermost.calls/bot/calls/{ids.call_id}/recordings", json=body)
    found = {path.name: path.read_bytes() for path in (standin.data_dir / "published").iterdir()}
    assert found == {"a.mp4": b"11", "a-2.mp4": b"22"}


async def test_session_chooses_its_files_id(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """`req_file_id` is kept by the session and becomes the file's id; a knob takes that away."""
    for own, wanted in ((True, "y" * 26), (False, "")):
        standin.state.knobs.own_file_ids = own
        session = await (await create(bot_client, ids, 2, req_file_id="y" * 26)).json()
        assert session["req_file_id"] == wanted
        info = await (await bot_client.post(f"{UPLOADS}/{session['id']}", data=b"hi")).json()
        assert (info["id"] == "y" * 26) is own


async def test_offset_lags_behind_each_part(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """For so long after a part the session tells the offset before it."""
    standin.state.knobs.offset_lag_s = 60.0
    upload_id = await opened(bot_client, ids, 10)
    for part in (b"he", b"llo"):
        await bot_client.post(f"{UPLOADS}/{upload_id}", data=part)
    assert await offset(bot_client, upload_id) == 2
    standin.state.knobs.offset_lag_s = 0.0
    assert await offset(bot_client, upload_id) == 5


async def test_scanner_rejects_a_complete_file_in_its_own_words(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """400 with the reason, no file, and the session stays."""
    standin.state.knobs.scanner = "infected"
    upload_id = await opened(bot_client, ids, 2)
    reply = await bot_client.post(f"{UPLOADS}/{upload_id}", data=b"hi")
    assert (reply.status, "Reason: infected" in await reply.text()) == (400, True)
    assert standin.state.files == {}
    assert await offset(bot_client, upload_id) == 2
