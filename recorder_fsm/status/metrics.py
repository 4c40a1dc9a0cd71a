"""The metrics: each declared once, with its type, its help and where it comes from. `docs/observing.md` is made of it.

Names and units follow Prometheus (https://prometheus.io/docs/practices/naming/): base units, `_total` for what only
grows. A level of audio is given in dBFS, since everybody compares it in dB; -120 stands for digital silence, because
nothing can be reckoned with minus infinity.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from recorder_fsm import __version__
from recorder_fsm.machine.lifecycle import TRANSITIONS, Resource, State
from recorder_fsm.status.board import Board

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
SILENCE_DBFS = -120.0
RESTARTED = [one for one in Resource if any(one in transition.restarts for transition in TRANSITIONS)]

BASE_UNITS: Mapping[str, tuple[str, float]] = {
    "_ms": ("_seconds", 1e-3),
    "_us": ("_seconds", 1e-6),
    "_kbps": ("_bytes_per_second", 125.0),
    "_s": ("_seconds", 1.0),
    "_share": ("_ratio", 1.0),
}
"""What the endings of our own names become."""

Sample = tuple[tuple[str, ...], float]
"""The values of the labels, and the value."""


@attrs.frozen
class Declared:
    """One metric: name, help, what it reads of a board, its labels. `read` yields nothing where nothing is known."""

    name: str
    help: str
    read: Callable[[Board], Iterable[Sample]]
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "counter" if self.name.endswith("_total") else "gauge"

    def family(self, board: Board) -> Metric:
        """Return it as it is now."""
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, self.help, labels=self.labels)
        for labels, value in self.read(board):
            family.add_metric(labels, value)
        return family


def _one(read: Callable[[Board], float | None]) -> Callable[[Board], Iterator[Sample]]:
    """Return what yields one value without labels, or nothing for None."""

    def samples(board: Board) -> Iterator[Sample]:
        value = read(board)
        if value is not None:
            yield (), float(value)

    return samples


def _by(read: Callable[[Board], Mapping[str, float]]) -> Callable[[Board], Iterator[Sample]]:
    """Return what yields one value for each value of one label."""
    return lambda board: (((label,), float(value)) for label, value in read(board).items())


def _dbfs(level: float) -> float:
    return level if math.isfinite(level) else SILENCE_DBFS


def _upload(board: Board, which: int) -> int | None:
    return board.job.report.upload_bytes[which] if board.job.report.upload_bytes is not None else None


def _measures(board: Board) -> Iterator[Sample]:
    """Yield what the report has under `measures`, in base units; a measure of a measure has both names."""
    measures = board.job.report.facts().get("measures")
    for name, value in _flat("", measures) if isinstance(measures, Mapping) else ():
        unit = next((one for one in BASE_UNITS if name.endswith(one)), None)
        base, factor = BASE_UNITS[unit] if unit is not None else ("", 1.0)
        yield (name.removesuffix(unit or "") + base,), value * factor


def _flat(above: str, measures: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in measures.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{above}{name}_", value)
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{above}{name}", float(value)


METRICS: tuple[Declared, ...] = (
    Declared("recorder_build_info", "Version of the recorder and of its Python; always 1.",
        lambda _: [((__version__, platform.python_version()), 1.0)], ("version", "python")),
    Declared("recorder_job_info", "The job that this process does; always 1.",
        lambda board: [((board.job.settings.recording_id, board.job.settings.call_id), 1.0)],
        ("recording_id", "call_id")),
    Declared("recorder_start_time_seconds", "Start of the process, in seconds since 1970.",
        _one(lambda board: board.began_at_s)),
    Declared("recorder_healthy", "1 while the job does what it should, as /healthz says it; 0 else.",
        _one(lambda board: board.health.ok)),
    Declared("recorder_state", "1 for the state that the job is in, 0 for the others.",
        _by(lambda board: {state.value: state is board.state for state in State}), ("state",)),
    Declared("recorder_state_age_seconds", "Time since the present state was entered.",
        _one(lambda board: board.state_age_s)),
    Declared("recorder_state_seconds_total", "Time spent in each state.",
        _by(lambda board: {state.value: spent_s for state, spent_s in board.time_in_states_s.items()}), ("state",)),
    Declared("recorder_recording_duration_seconds", "Length of the recording so far, gaps included.",
        _one(lambda board: board.timeline.elapsed_s)),
    Declared("recorder_written_bytes_total", "Bytes that the encoders have written.",
        _one(lambda board: board.progress.size_bytes)),
    Declared("recorder_frames_total", "Frames that the encoders have written; an unchanged screen makes two a second.",
        _one(lambda board: board.progress.frames)),
    Declared("recorder_dropped_frames_total", "Frames that the encoders have dropped.",
        _one(lambda board: board.progress.dropped)),
    Declared("recorder_encoder_speed_ratio", "Speed of the encoder against real time: 1 is as fast as the call.",
        _one(lambda board: board.progress.speed if board.captures else None)),
    Declared("recorder_preset_info", "The preset that the encoder has now; always 1.",
        lambda board: [((board.timeline.segments[-1].preset,), 1.0)] if board.captures else (), ("preset",)),
    Declared("recorder_encoder_behind_seconds", "How far what is written is behind the clock of the recording.",
        _one(lambda board: board.timeline.behind_s)),
    Declared("recorder_audio_level_dbfs", "Audio of the last second (root mean square); -120 is digital silence.",
        _one(lambda board: _dbfs(board.progress.level_dbfs) if board.captures else None)),
    Declared("recorder_audio_peak_dbfs", "Highest peak of the audio so far; -120 is digital silence.",
        _one(lambda board: _dbfs(board.progress.loudest_dbfs) if board.timeline.segments else None)),
    Declared("recorder_audio_seconds_total", "Seconds of audio that were measured.",
        _one(lambda board: board.progress.measured_s)),
    Declared("recorder_audio_heard_seconds_total", "Seconds of audio in which anything was heard (above -80 dBFS).",
        _one(lambda board: board.progress.heard_s)),
    Declared("recorder_video_black", "1 while the picture is black.",
        _one(lambda board: board.timeline.segments[-1].progress.black if board.captures else None)),
    Declared("recorder_gaps", "Stretches of the recording in which nothing could be captured.",
        _one(lambda board: board.gaps.count)),
    Declared("recorder_gaps_duration_seconds", "Length of all gaps together.",
        _one(lambda board: board.gaps.length_s)),
    Declared("recorder_restarts_total", "Restarts of a resource while the recording went on.",
        _by(lambda board: {one.value: board.restarts[one] for one in RESTARTED}), ("resource",)),
    Declared("recorder_faults_total", "Events with a cause, by the code of the cause; overcome ones included.",
        _by(lambda board: board.faults), ("code",)),
    Declared("recorder_measure", "What the report measures of the recording (`measures`), by name and base unit.",
        _measures, ("measure",)),
    Declared("recorder_notes", "Remarks on the recording that a person should read; the report has their words.",
        _one(lambda board: len(board.notes))),
    Declared("recorder_disk_free_bytes", "Room on the volume of the job.",
        _one(lambda board: board.sample.free_bytes)),
    Declared("recorder_disk_reserve_bytes", "With less room than this the recording is ended and saved.",
        _one(lambda board: board.job.least_free_bytes())),
    Declared("recorder_upload_sent_bytes", "Bytes of the file that are delivered; a fault may set it back.",
        _one(lambda board: _upload(board, 0))),
    Declared("recorder_upload_size_bytes", "Size of the file that is uploaded.",
        _one(lambda board: _upload(board, 1))),
    Declared("recorder_cpu_seconds_total", "CPU time by part of the recorder; looked at every 5 s.",
        _by(lambda board: board.sample.cpu_s), ("part",)),
    Declared("recorder_memory_bytes", "Resident memory by part; what its processes share counts once.",
        _by(lambda board: board.sample.memory_bytes), ("part",)),
    Declared("recorder_machine_busy_ratio", "Share of all cores of the machine that was busy, whoever used them.",
        _one(lambda board: board.sample.machine)),
)  # fmt: skip


class _BoardCollector(Collector):
    """Reads a board for each scrape."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        for declared in METRICS:
            yield declared.family(self._board)


def registry_of(board: Board) -> CollectorRegistry:
    """Return a registry of its own for one job: nothing else of the process is in it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BoardCollector(board))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the metrics in Prometheus' text format (version 0.0.4)."""
    return generate_latest(registry)


def markdown_table() -> str:
    """Return `METRICS` as a Markdown table for the documentation."""
    lines = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.kind} | {', '.join(one.labels)} | {one.help} |" for one in METRICS]
    return "\n".join(lines) + "\n"
