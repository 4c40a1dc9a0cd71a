"""The metrics: valid, named by the rules, complete, and the same in documents, dashboard and alerts."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from recorder_fsm.errors import CaptureError
from recorder_fsm.machine.lifecycle import Event, State
from recorder_fsm.status.metrics import METRICS, exposition, markdown_table, registry_of
from recorder_fsm.storage.report import JobReport
from recorder_fsm.storage.samples import Sample
from tests.status_stage import Shown, shown

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy/prometheus/recorder-fsm.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/recorder-fsm.json"
UNITS = ("seconds", "bytes", "ratio", "dbfs", "info")
COUNTS = {
    "healthy", "state", "frames", "dropped_frames", "video_black", "gaps", "restarts", "faults", "measure", "notes",
}  # fmt: skip
"""What has no unit."""
PROMQL_WORDS = {"recorder_fsm"}


def samples(stage: Shown) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what a scrape reads, by name and the values of the labels."""
    text = exposition(registry_of(stage.board)).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_recording_is_measured() -> None:
    """A scrape while it records reads state, frames, audio, speed, restarts and faults as they are."""
    async with shown() as stage:
        stage.records()
        stage.moves(Event.CAPTURE_LOST, cause=CaptureError(code="video_stalled"))
        stage.job.context.report.uploading(250, 1000)
        stage.job.context.report.samples.add(
            Sample(9.0, memory_bytes={"recorder": 5_000_000}, free_bytes=10_000_000, cpu_s={"encoder": 2.5})
        )
        read = samples(stage)
        assert read["recorder_state", ("recording",)] == 1
        assert sum(value for (name, _), value in read.items() if name == "recorder_state") == 1
        assert len([name for name, _ in read if name == "recorder_state"]) == len(State)
        assert read["recorder_frames_total", ()] == 120
        assert read["recorder_written_bytes_total", ()] == 500000
        assert read["recorder_encoder_speed_ratio", ()] == 1.01
        assert read["recorder_preset_info", ("fast",)] == 1
        assert read["recorder_audio_level_dbfs", ()] == -23.4
        assert read["recorder_restarts_total", ("capture",)] == 1
        assert read["recorder_restarts_total", ("audio",)] == 0, "what may happen is there before it happens"
        assert read["recorder_faults_total", ("video_stalled",)] == 1
        assert (read["recorder_upload_sent_bytes", ()], read["recorder_upload_size_bytes", ()]) == (250, 1000)
        assert read["recorder_disk_free_bytes", ()] == 10_000_000
        assert read["recorder_memory_bytes", ("recorder",)] == 5_000_000
        assert read["recorder_cpu_seconds_total", ("encoder",)] == 2.5
        assert read["recorder_healthy", ()] == 1


async def test_all_is_valid_before_anything_has_begun_and_in_digital_silence() -> None:
    """What is not known is left out; silence is a number that can be reckoned with."""
    async with shown() as stage:
        before = samples(stage)
        assert ("recorder_audio_level_dbfs", ()) not in before
        stage.records().progress.level_dbfs = -math.inf
        assert samples(stage)["recorder_audio_level_dbfs", ()] == -120
        assert all(math.isfinite(value) for value in samples(stage).values())


async def test_measures_of_the_report_come_in_base_units() -> None:
    """Whatever a recording is measured by, it is there under its name; texts and what is not known are left out."""
    async with shown() as stage:
        measures = {
            "start_skew_ms": 12,
            "black_share": 0.25,
            "gap": {"longest_s": 2.5},
            "level_dbfs": None,
            "word": "x",
        }
        with mock.patch.object(JobReport, "facts", return_value={"measures": measures}):
            read = {labels[0]: value for (name, labels), value in samples(stage).items() if name == "recorder_measure"}
    assert read == {"start_skew_seconds": 0.012, "black_ratio": 0.25, "gap_longest_seconds": 2.5}


@pytest.mark.parametrize("declared", METRICS, ids=lambda one: one.name)
def test_name_keeps_the_rules(declared: Any) -> None:
    """As `promtool check metrics` wants it: prefix, base unit, `_total` for counters alone, help, no reserved label."""
    assert re.fullmatch("recorder(_[a-z]+)+", declared.name)
    assert declared.help.endswith(".") or declared.help.endswith(")")
    bare = declared.name.removesuffix("_total")
    assert not bare.endswith(("_count", "_sum", "_bucket", "_total"))
    assert bare.endswith(UNITS) or bare.removeprefix("recorder_") in COUNTS
    assert not {"le", "quantile", "job", "instance"} & set(declared.labels)


def test_no_metric_is_declared_twice() -> None:
    """One name, one meaning."""
    names = [one.name for one in METRICS]
    assert len(names) == len(set(names))


def test_document_has_the_table_as_it_is() -> None:
    """docs/observing.md has the table that the metrics make of themselves."""
    assert f"\n{markdown_table()}\n" in (ROOT / "docs/observing.md").read_text(encoding="utf-8")


def named(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")
    return set(re.findall(r"\brecorder_[a-z_]+\b", expression)) - PROMQL_WORDS


def expressions(dashboard: Any) -> list[str]:
    """Return all queries of a dashboard, however deep."""
    if isinstance(dashboard, dict):
        own = [dashboard["expr"]] if "expr" in dashboard else []
        return own + [one for value in dashboard.values() for one in expressions(value)]
    return [one for value in dashboard for one in expressions(value)] if isinstance(dashboard, list) else []


def test_alerts_ask_for_what_there_is_and_say_what_to_do() -> None:
    """Each rule names metrics that exist, how severe it is, what it means and what a person does."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations", "keep_firing_for"}
        assert named(rule["expr"])
        assert named(rule["expr"]) <= {one.name for one in METRICS}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "what_to_do"} <= set(rule["annotations"])
        assert re.fullmatch("[0-9]+[smh]", rule.get("for", "0s"))


def test_dashboard_shows_what_there_is() -> None:
    """It is JSON with a data source to choose, and a panel for each thing that people ask about."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = set().union(*(named(one) for one in expressions(dashboard)))
    assert asked <= {one.name for one in METRICS}
    assert {
        "recorder_state", "recorder_cpu_seconds_total", "recorder_memory_bytes", "recorder_audio_level_dbfs",
        "recorder_encoder_speed_ratio", "recorder_dropped_frames_total", "recorder_disk_free_bytes",
        "recorder_upload_sent_bytes", "recorder_faults_total", "recorder_restarts_total",
    } <= asked  # fmt: skip
    (source,) = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert source["query"] == "prometheus"
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"]["uid"] == f"${{{source['name']}}}" for panel in panels)
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [panel["gridPos"] for panel in panels]
    taken = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)), "no panel lies on another"
    assert all(at["x"] + at["w"] <= 24 for at in places)
