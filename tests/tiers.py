"""What is played when: by `make test-quick` in a minute or two, by `make test` in minutes, by `make test-all` all.

Files are named below `tests/`. What records a call is chosen by `faults.often`.
"""

from __future__ import annotations

LONG = (
    "analysis/",
    "test_capture.py::test_audio_that_stops",
    "test_capture.py::test_frozen_program",
    "test_certificates.py",
    "test_colours.py",
    "test_join.py::test_every_cut_of_a_segment_gives_a_whole_recording",
    "test_join.py::test_rounding_does_not_add_up",
    "test_join_browser.py::test_recording_begins_with",
    "test_join_browser.py::test_recording_jumps_over_a_gap_of_minutes",
    "test_join_browser.py::test_recording_plays_over_a_gap_and_jumps_around_it[other-sets",
    "test_page_loading.py",
    "test_page_troubles.py",
    "test_pages.py",
    "test_post_parts.py",
    "test_questions.py",
    "test_recipes.py",
    "test_report_browser.py",
    "test_screen_hook.py",
    "test_scripts.py",
    "test_split.py",
    "test_take_over.py::test_encoder_that_is_too_slow",
    "test_take_over.py::test_encoder_that_took_over",
    "test_take_over.py::test_first_encoder_that_hangs",
    "test_take_over.py::test_first_programs",
    "test_take_over.py::test_kill_of_everything",
    "test_take_over.py::test_stop_does_not",
    "test_take_over.py::test_stop_while",
    "test_traffic.py",
    "test_video_grabber.py::test_encoder_that_is_too_slow",
)
"""These are left to `make test-all`: each takes longer than a recording, and nobody changes them by chance."""
PROGRAMS = (
    "end_to_end/",
    "faults/",
    "test_address.py",
    "test_audio.py",
    "test_audio_relay.py",
    "test_bench_page.py",
    "test_capture.py",
    "test_colours.py",
    "test_devtools.py",
    "test_display.py",
    "test_doctor.py",
    "test_exposure.py",
    "test_extra_switches.py",
    "test_join.py",
    "test_join_browser.py",
    "test_lease.py",
    "test_on_end.py",
    "test_output_file.py",
    "test_page_loading.py",
    "test_page_troubles.py",
    "test_people_hook.py",
    "test_picture.py",
    "test_pixels.py",
    "test_process.py",
    "test_rate_control.py",
    "test_runtime_dir.py",
    "test_screen_hook.py",
    "test_signals.py",
    "test_site.py",
    "test_standin_recorders.py",
    "test_standstill.py",
    "test_status_page.py",
    "test_surroundings.py",
    "test_take_over.py",
    "test_traffic.py",
    "test_video_grabber.py",
    "test_web_page.py",
    "test_x11_screen.py",
)
"""These start browsers, displays or other programs, and are left out by `make test-quick`."""


def is_long(name: str) -> bool:
    """Tell whether the test `name`, its id below `tests/`, is left to `make test-all`."""
    return name.startswith(LONG)


def starts_programs(name: str) -> bool:
    """Tell whether the test `name` is left out by `make test-quick`."""
    return name.startswith(PROGRAMS)
