"""Chaos: kill or freeze a random program of the job, or the recorder, at a random moment, and see what is left.

    python -m tests.faults.chaos --runs 6 --seed 1
    python -m tests.faults.chaos --siege 180 --seed 1

Each run records the pattern page, does its harm once or twice, starts the job again as a launcher would until it ends
with code 0 (or three starts are used up), and checks the one rule: everything captured up to two seconds before the
harm is in what was published or is still on the volume, nothing bad is called a success, and no process is left. The
siege is one recording of so many seconds in which encoder, grabbers and PulseAudio are killed again and again: it must
be published as one file on one true clock, with no hole longer than three seconds in the video, or ten in the audio.
The seed decides what is done and when; a run is repeated by its seed and number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import psutil

from bench.harness.recorder_process import RecorderProcess, orphans, recorder
from recorder_fsm.analysis import pattern
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.storage.job_dir import recordings_in
from tests.faults.scene import capture_begin, meeting_lost

STARTS = 3
FIRST_AT_S = (2.0, 9.0)
SECOND_AFTER_S = (0.0, 3.0)
RECORDER_FROZEN_S = 3.0
END_LIMIT_S = 120.0
LOST_LIMIT_S = 2.0
OVERCOME_S = 3.0
"""What the meeting loses by a harm that is overcome."""
FREEZE_S = 17.0
"""The same where a program freezes: up to 15 s until it is noticed."""
GO_ON_S = 25.0
"""How long a recording that overcame its harms goes on before its host stops it."""
SIEGE_EVERY_S = (6.0, 14.0)
SIEGE_VIDEO_S = 3.0
SIEGE_AUDIO_S = 10.0

OVERCOME = ("encoder", "grabber", "audio grabber", "relay", "pulseaudio", "recorder")
"""The targets whose death or pause does not end the recording (a killed recorder ends it otherwise)."""
TARGETS: dict[str, Callable[[RecorderProcess], list[psutil.Process]]] = {
    "encoder": lambda run: run.all("libx264"),
    "grabber": lambda run: run.all("video_grabber"),
    "audio grabber": lambda run: run.all("parec"),
    "relay": lambda run: run.all("audio_relay"),
    "chromium": lambda run: [run.chromium()],
    "renderers": lambda run: run.all("--type=renderer"),  # Chromium may have a spare one, which is no loss
    "Xvfb": lambda run: run.all("Xvfb"),
    "pulseaudio": lambda run: run.all("pulseaudio"),
    "recorder": lambda run: [psutil.Process(run.process.pid)],
}


class Broken(Exception):
    """The rule does not hold."""


@attrs.frozen
class Harm:
    """What is done to whom; `at_s` counts from the begin of the recording, for the second harm from the first."""

    target: str
    action: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.action} {self.target} at {self.at_s:.1f} s"


def plan(seed: int, number: int) -> list[Harm]:
    """Return the harms of one run: the same for the same seed and number."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - a test's dice
    return [
        Harm(chance.choice(list(TARGETS)), chance.choice(("kill", "freeze")), chance.uniform(*spread))
        for spread in (FIRST_AT_S, SECOND_AFTER_S)[: chance.choice((1, 1, 2))]
    ]


@attrs.define
class Chaos:
    """One run. `harmed_at` is the wall-clock time of the first harm; `runtimes` are those of all starts."""

    harms: list[Harm]
    standin: StandIn
    data: Path
    run: RecorderProcess | None = None
    harmed_at: float = 0.0
    codes: list[int] = attrs.Factory(list)
    runtimes: set[str] = attrs.Factory(set)

    async def go(self) -> str:
        """Do the run; returns what came of it; raises `Broken`."""
        ids = self.standin.create_call(scene={"mode": "pattern"})
        doing: asyncio.Task[None] | None = None
        for start in range(STARTS):
            async with recorder(self.standin, ids, self.data) as run:
                self.run = run
                if start == 0:
                    await run.recorded(self.harms[0].at_s)
                    doing = asyncio.create_task(self._do_all())
                self.codes.append(await self._end(run))
                self.runtimes.add(run.runtime)
            if self.codes[-1] == 0:
                break
        if doing is not None:
            await doing
        return await self._judge()

    async def _end(self, run: RecorderProcess) -> int:
        """Wait for the recorder's end; a recording that survived the harm is stopped by its host."""
        with_host = None
        if run.process.returncode is None and all(harm.target in OVERCOME for harm in self.harms):
            with_host = asyncio.get_running_loop().call_later(
                GO_ON_S, self.standin.stop_recording, run.ids.recording_id
            )
        try:
            return await run.exit_code(END_LIMIT_S)
        except TimeoutError as error:
            raise Broken(f"it does not end:\n{run.text[-3000:]}") from error
        finally:
            if with_host is not None:
                with_host.cancel()

    async def _do_all(self) -> None:
        self.harmed_at = time.time()
        for number, harm in enumerate(self.harms):
            if number:
                await asyncio.sleep(harm.at_s)
            await self._do(harm)

    async def _do(self, harm: Harm) -> None:
        if self.run is None or self.run.process.returncode is not None:
            return
        with contextlib.suppress(AssertionError, psutil.Error):  # it has gone already
            victims = TARGETS[harm.target](self.run)
            for victim in victims:
                victim.kill() if harm.action == "kill" else victim.suspend()
            if (harm.target, harm.action) == ("recorder", "freeze"):
                await asyncio.sleep(RECORDER_FROZEN_S)
                victims[0].send_signal(signal.SIGCONT if round(harm.at_s * 10) % 2 else signal.SIGKILL)

    async def _judge(self) -> str:
        if self.run is None:
            raise Broken("nothing was started")
        ids = self.run.ids
        left = [line for runtime in self.runtimes for line in orphans(runtime)]
        if left:
            raise Broken(f"processes are left: {left}")
        posts = [post for post in self.standin.state.posts if post.recording_id == ids.recording_id]
        kept = recordings_in(self.run.job_dir)
        if len(posts) > 1:
            raise Broken(f"{len(posts)} posts")
        if not posts and not kept:
            raise Broken(f"nothing is left of the recording:\n{self.run.text[-3000:]}")
        if (self.codes[-1] == 0) != (bool(posts) and not kept):
            raise Broken(f"code {self.codes[-1]} with {len(posts)} posts and {len(kept)} files kept")
        path = self.standin.uploaded(posts[0].file_id) if posts else kept[0]
        captured_s = self.harmed_at - capture_begin(self.run)
        lost_s = await self._lost(path, captured_s)
        where = "published" if posts else f"kept ({path.name})"
        return f"{where}, codes {self.codes}, {captured_s:.1f} s captured, {lost_s:.2f} s lost"

    async def _lost(self, path: Path, captured_s: float) -> float:
        facts = await probe(path)
        if facts.video is None or facts.audio is None:
            raise Broken(f"{path.name} has no video or no audio")
        counters = await pattern.counters(path)
        longest_s = max(FREEZE_S if harm.action == "freeze" else OVERCOME_S for harm in self.harms)
        holes = [
            gap
            for gap in counters.gaps
            if gap.duration_s > (1.0 if gap.at_s < captured_s - LOST_LIMIT_S else longest_s)
        ]
        if holes:
            raise Broken(f"holes: {holes}")
        lost_s = captured_s - min(facts.duration_s, facts.video.start_s + facts.video.duration_s)
        if lost_s > LOST_LIMIT_S:
            raise Broken(f"{lost_s:.2f} s of {captured_s:.2f} s are lost")
        return max(0.0, lost_s)


async def chaos(seed: int, numbers: list[int]) -> int:
    """Do the runs; prints a line for each; returns how many broke the rule."""
    broken = 0
    print(f"seed {seed}, runs {numbers[0]} to {numbers[-1]}")  # noqa: T201
    for number in numbers:
        harms = plan(seed, number)
        with tempfile.TemporaryDirectory(prefix="recorder-chaos-") as folder:
            (Path(folder) / "data").mkdir()
            async with StandIn(data_dir=Path(folder) / "standin") as standin:
                run = Chaos(harms, standin, Path(folder) / "data")
                try:
                    said = await run.go()
                except (Broken, AssertionError, TimeoutError) as error:
                    broken += 1
                    said = f"BROKEN: {error}"
        print(f"  run {number}: {', '.join(map(str, harms))}: {said}", flush=True)  # noqa: T201
    print(f"{len(numbers) - broken} of {len(numbers)} runs held")  # noqa: T201
    return broken


async def siege(seed: int, seconds: float) -> int:
    """Kill programs of one recording again and again; prints what came of it; returns 1 where the rule is broken."""
    chance = random.Random(f"siege {seed}")  # noqa: S311 - a test's dice
    killed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="recorder-siege-") as folder:
        (Path(folder) / "data").mkdir()
        async with StandIn(data_dir=Path(folder) / "standin") as standin:
            ids = standin.create_call(scene={"mode": "pattern"})
            async with recorder(standin, ids, Path(folder) / "data") as run:
                await run.recorded(3)
                until = time.monotonic() + seconds
                while time.monotonic() < until and run.process.returncode is None:
                    await asyncio.sleep(chance.uniform(*SIEGE_EVERY_S))
                    name = chance.choice(("encoder", "grabber", "audio grabber", "relay", "pulseaudio"))
                    for victim in TARGETS[name](run):
                        with contextlib.suppress(psutil.Error):
                            victim.kill()
                            killed.append(name)
                await asyncio.sleep(SIEGE_EVERY_S[1])  # the last one is overcome, too
                standin.stop_recording(ids.recording_id)
                code = await run.exit_code(END_LIMIT_S)
                posts = [post for post in standin.state.posts if post.recording_id == ids.recording_id]
                told = [one.status for one in standin.state.statuses if one.recording_id == ids.recording_id]
                if code or len(posts) != 1 or told != ["started"]:
                    print(f"BROKEN: code {code}, {len(posts)} posts, told {told}\n{run.text[-4000:]}")  # noqa: T201
                    return 1
                path = standin.uploaded(posts[0].file_id)
                lost, facts = await meeting_lost(path), await probe(path)
                clock_s = run.report["capture"]["clock_s"]
    held = (
        lost.video_s <= SIEGE_VIDEO_S
        and lost.audio_s <= SIEGE_AUDIO_S
        and lost.gap_error_s <= 0
        and abs(facts.duration_s - clock_s) <= 1.0
    )
    print(  # noqa: T201
        f"siege {seed}: {len(killed)} killed ({', '.join(killed)}); "
        f"{facts.duration_s:.1f} of {clock_s:.1f} s published; "
        f"longest hole {lost.video_s:.2f} s of video, {lost.audio_s:.2f} s of audio"
        f"{'' if held else ': BROKEN'}"
    )
    return 0 if held else 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill or freeze a random program of a recorder, many times.")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.randrange(100_000))  # noqa: S311
    parser.add_argument("--only", type=int, default=None, help="one run of the seed, by its number")
    parser.add_argument(
        "--siege", type=float, default=None, metavar="SECONDS", help="one recording under siege instead"
    )
    options = parser.parse_args()
    if options.siege is not None:
        sys.exit(asyncio.run(siege(options.seed, options.siege)))
    numbers = list(range(options.runs)) if options.only is None else [options.only]
    sys.exit(1 if asyncio.run(chaos(options.seed, numbers)) else 0)


if __name__ == "__main__":
    main()
