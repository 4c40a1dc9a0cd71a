"""Which recordings are played when: few by `make test`, one of each sort by `make test-all`, all by `make faults`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

KINDS = (
    "end_to_end/test_recording.py::test_host_stop_publishes_a_good_file",
    "faults/test_announced.py::test_recording_that_people_saw_is_published[reply lost-killed, started again]",
    "faults/test_causes.py::test_token_that_everybody_echoes_is_nowhere",
    "faults/test_output.py::test_output_that_blocks_from_the_beginning_costs_nothing[full_pipe-SIGTERM]",
    "faults/test_plugin.py::test_end_that_the_plugin_did_not_ask_for_ends_its_job[new connection-SIGTERM]",
    "faults/test_publishing.py::test_program_that_does_not_close_delays_nothing[U1 Chromium]",
    "faults/test_publishing.py::test_refusal_keeps_the_file_at_once[upload_data-403]",
    "faults/test_publishing.py::test_save_is_repeated_alone[reply lost]",
    "faults/test_publishing.py::test_trouble_on_the_way_is_overcome[U5 data: cut at byte 6000000]",
    "faults/test_recovery.py::test_upload_continues_at_the_offset_of_the_server",
    "faults/test_refused.py::test_refused_system_calls_cost_no_recording[what calls-offloader v0.9.4 refuses]",
    "faults/test_start.py::test_bad_value_is_one_clear_line[no number]",
    "faults/test_start.py::test_page_that_gives_up_is_quoted[join refused]",
    "faults/test_start.py::test_program_that_does_not_start_is_quoted[chromium-exits at once]",
    "faults/test_start.py::test_signal_while_starting_ends_in_order[SIGTERM-browser_joined]",
    "faults/test_while_recording.py::test_disk_that_fills_ends_the_capture",
    "faults/test_while_recording.py::test_killed_program_costs_seconds[R1 encoder]",
    "faults/test_while_recording.py::test_lost_page_or_display_ends_the_capture[R3 browser]",
)
"""One recording, and one fault of each kind, below `tests/`: what `make test` has time for."""


def slow_but(often: Collection[object], values: Iterable[object]) -> list[Any]:
    """Return the values for a parameter, those that are not among `often` marked slow: the same of another kind.

    A value that is a tuple is one for each of several parameters.
    """
    return [value if value in often else _slow(value) for value in values]


def _slow(value: object) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
