"""Whether a server on a Unix socket still answers: a server that is alive and does nothing ends no process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from recorder_fsm.system.clock import running_timeout
from recorder_fsm.system.process import ChildProcess, describe_exit

ASK_EVERY_S = 2.0
ANSWER_LIMIT_S = 4.0
"""A server that has not answered for so long is frozen. It answers within a millisecond, on a busy machine too."""
ANSWER_BYTES = 65536


async def wait_for_no_answer(server: Path, greeting: bytes, question: bytes) -> str:
    """Greet the server, then ask it again and again; returns in words how it was noticed that it does not answer.

    Any bytes are an answer. Never returns where the connection ends: that the server has ended is for others to notice.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_unix_connection(server)
        said = greeting
        while True:
            writer.write(said)
            try:
                async with running_timeout(ANSWER_LIMIT_S):
                    answered = await reader.read(ANSWER_BYTES)
            except TimeoutError:
                return f"has not answered for {ANSWER_LIMIT_S:g} s"
            if not answered:
                break
            said = question
            await asyncio.sleep(ASK_EVERY_S)
    except OSError:
        pass  # as above
    finally:
        if writer is not None:
            writer.close()
    await asyncio.Event().wait()
    return ""


async def wait_until_lost(program: ChildProcess, server: Path, greeting: bytes, question: bytes) -> tuple[str, bool]:
    """Wait until `program`, which serves `server`, ends or no longer answers.

    Returns how, in words, and whether it is frozen: still there, but without an answer.
    """
    frozen = asyncio.create_task(wait_for_no_answer(server, greeting, question), name=f"ask {program.name}")
    try:
        await asyncio.wait({program.exited, frozen}, return_when=asyncio.FIRST_COMPLETED)
        if program.exited.done():
            return f"{describe_exit(program.exited.result())}: {program.last_words()}", False
        return frozen.result(), True
    finally:
        frozen.cancel()
        await asyncio.gather(frozen, return_exceptions=True)
