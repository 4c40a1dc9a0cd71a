"""What a job shows while it really records: metrics, a thumbnail, and the end to a page that is open."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image, ImageStat
from prometheus_client.parser import text_string_to_metric_families

from bench.harness.recorder_process import RecorderProcess, assert_nothing_left, recorder
from recorder_fsm.standin.server import StandIn

pytestmark = pytest.mark.e2e


async def address(run: RecorderProcess) -> str:
    """Return where the recorder says that its page is."""
    line = await run.seen(lambda line: "the status page is at" in line["message"])
    return str(line["message"]).rpartition(" ")[2].rstrip("/")


async def metrics(client: aiohttp.ClientSession, url: str) -> dict[tuple[str, str], float]:
    """Scrape once; by name and the value of the only label."""
    text = await (await client.get(f"{url}/metrics")).text()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def states(client: aiohttp.ClientSession, url: str) -> list[str]:
    """Watch as a page does, until the recorder says that it ends; returns what it said and the states on the way."""
    seen: list[str] = []
    async with client.get(f"{url}/events") as reply:
        async for raw in reply.content:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "data" and value != "{}":
                facts: dict[str, Any] = json.loads(value)
                seen += [facts["state"]] if facts["state"] not in seen else []
            elif (name, value) == ("event", "end"):
                seen.append("end")
    return seen


async def test_recording_is_seen_from_its_start_to_its_end(standin: StandIn, data: Path) -> None:
    """Metrics count while it records, the thumbnail shows the call, an open page hears of `done`."""
    ids = standin.create_call(scene={"mode": "pattern"})
    timeout = aiohttp.ClientTimeout(total=120)
    async with (
        recorder(standin, ids, data, STATUS_ADDR="127.0.0.1:0") as run,
        aiohttp.ClientSession(timeout=timeout) as client,
    ):
        url = await address(run)
        watching = asyncio.create_task(states(client, url))
        await run.recorded(4)
        first = await metrics(client, url)
        assert first["recorder_state", "recording"] == 1
        assert first["recorder_frames_total", ""] > 20
        assert first["recorder_encoder_behind_seconds", ""] < 5
        assert first["recorder_audio_level_dbfs", ""] > -60
        assert first["recorder_recording_duration_seconds", ""] > 3.5
        health = await client.get(f"{url}/healthz")
        assert (health.status, (await health.json())["state"]) == (200, "recording")

        picture = await client.get(f"{url}/thumbnail.jpg")
        assert picture.status == 200
        with Image.open(io.BytesIO(await picture.read())) as image:
            assert (image.format, image.width) == ("JPEG", 320)
            assert max(ImageStat.Stat(image.convert("L")).stddev) > 10, "it is of one colour"

        await run.recorded(7)
        second = await metrics(client, url)
        assert second["recorder_frames_total", ""] > first["recorder_frames_total", ""]
        assert second["recorder_memory_bytes", "browser"] > 50e6
        assert second["recorder_cpu_seconds_total", "encoder"] > 0
        for path in ("/", "/status.json", "/metrics", "/healthz"):
            assert ids.token not in await (await client.get(url + path)).text()

        standin.stop_recording(ids.recording_id)
        seen = await watching
        assert seen[-2:] == ["done", "end"]
        assert {"recording", "stopping"} <= set(seen)
        assert await run.exit_code() == 0, run.text
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(f"{url}/healthz")
    assert ids.token not in run.text
    assert not any(line["level"] in ("WARNING", "ERROR") and "status" in line["message"] for line in run.lines)
    assert_nothing_left(run)
