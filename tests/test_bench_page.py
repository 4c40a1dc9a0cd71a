"""What the bench reads, decides and writes: pure parts, on rows as its parts make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import page, plots, tables
from bench.density import highest, is_whole, keeps_frames
from bench.page import PARTS, begin, end, filled, section
from bench.parts import PART_NAMES
from bench.programs import BenchError
from bench.reading import Reading, lost_share, moved_beeps, offsets_ms
from bench.results import Result, merged
from bench.targets import TARGETS, targets

SHARES = {"ours": 5.0, "reference": 50.0}
READ = {"spread_ms": 3.0, "first_frame_s": 0.0, "lost": 0.002, "beeps_moved": 0}
MACHINE = {"date": "2026-01-02", "cores": "2", "processor": "a processor", "memory": "8 GiB"}
POINT = {"name": "default", "preset": "fast", "height": 1080, "frame_rate": 30, "video_rate_kbps": 1500}


def used(who: str) -> dict[str, float]:
    return {**dict.fromkeys(PART_NAMES, 0.0), "Chromium": 300.0, "encoder": SHARES[who]}


def encoded(scene: str, who: str, kbps: float, ssim: float, psnr: float = 40.0) -> dict[str, Any]:
    found = {"kbps": kbps, "highest_kbps": 1.2 * kbps, "ssim_db": ssim, "psnr_db": psnr, "cpu_s": 4.0}
    return {"scene": scene, **POINT, "encoder": who, **found}


ROWS: dict[str, list[dict[str, Any]]] = {
    "cpu": [
        {"scene": scene, "who": who, "shares": used(who), "memory": used(who), "kbps": 100.0, "frames_per_s": 2.0}
        for scene in ("still", "tiles", "shared")
        for who in SHARES
    ],
    "av": [
        {"kind": kind, "who": who, "offset_ms": offset, **READ}
        for kind in ("together", "three")
        for who, offset in (("ours", 4.0), ("ours", -3.0), ("reference", 60.0))
    ]
    + [{"kind": "long", "who": "ours", "offset_ms": 2.0, "drift_ms_per_30_min": 12.34, **READ}],
    "quality": [
        encoded(scene, *found)
        for scene in ("document", "video")
        for found in (("ours", 200.0, 30.0), ("reference", 1400.0, 29.0))
    ],
    "start": [{"who": "ours", "jobs": jobs, "started_s": 2.0 * jobs, "cpu_s": 1.9} for jobs in (1, 1, 5)],
    "memory": [{"who": who, "at_s": at_s, "parts": used(who)} for who in SHARES for at_s in (0.0, 5.0, 10.0)],
    "density": [
        {
            "point": "medium",
            "scene": scene,
            "who": who,
            "jobs": jobs,
            "whole": jobs - 1,
            "tried": [
                {"jobs": jobs + 1, "passed": False, "whole": False, "trouble": "", "lost": 0.031, "beeps_moved": 2}
            ],
        }
        for scene in ("moving", "static")
        for who, jobs in (("ours", 5), ("reference", 3))
    ],
    "finish": [{"hours": 3.0, "gigabytes": 2.0, "rewritten_s": 2.0, "checked_s": 1.0}],
}


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ("cpu", "| nothing moves | 50 | 5 | 0.10 |"),
        ("av", "| one call, both beside each other: recorder-fsm | 2 | 0 (-3 to 4) | 7 | 3 | 0.000 | 0.2 | 0 |  |"),
        ("av", "| half an hour: recorder-fsm | 1 | 2 | 0 | 3 | 0.000 | 0.2 | 0 | 12 |"),
        ("quality", "| document | 1080p30 1500k fast | 1400 | 29.0 | 40.0 | 200 | 30.0 | 40.0 | 0.14 | 240 | 1.00 |"),
        ("start", "| 5 in the same second | ours | 1 | 10.0 | 1.9 |"),
        ("memory", "| recorder-fsm | all | 305 | 305 | +0.00 |"),
        ("density", "| 720p20 1500k veryfast, moving: recorder-fsm | 5 | 4 | 6: 3.1 % of the frames, 2 beeps moved |"),
        ("finish", "| 3.0 h | 2.0 GB | 2.0 | 1.0 |"),
    ],
)
def test_part_becomes_a_table(part: str, shown: str) -> None:
    """Each part is shown with its command, and with medians of what its rows hold."""
    text = section(Result(part, ROWS[part], [f"python -m bench.all --parts {part}"], MACHINE))
    assert "On 2026-01-02, 2 cores (a processor)." in text
    assert shown in text
    assert f"\n    python -m bench.all --parts {part}\n" in text


def test_every_plot_is_a_picture(tmp_path: Path) -> None:
    """Each plot of the page is drawn from rows alone."""
    for part, draw in page.PLOTS.items():
        draw(ROWS[part], tmp_path / f"{part}.png")
        assert (tmp_path / f"{part}.png").read_bytes().startswith(b"\x89PNG"), part


def test_bars_show_medians_of_the_groups() -> None:
    """What grabs is one bar, and a run that was disturbed does not move it."""
    runs = [{"relay": 1.0, "video grabber": grabbed, "encoder": 9.0} for grabbed in (2.0, 3.0, 90.0)]
    assert plots.grouped(runs)["grabbing"] == 4.0


def test_targets_are_judged_and_reasons_stay() -> None:
    """A target is met or not by its numbers; what a person wrote in the last column is there the next time."""
    first = targets(ROWS, "")
    rows = {line.split(" | ")[0].strip("| "): line for line in first.splitlines()}
    assert "5 % of a core, 0.10 of the reference | goal |" in rows["CPU of all but Chromium, nothing moves"]
    assert "200 kbit/s at 30.0 dB" in rows["bytes for a shared screen with text"]
    assert "| goal |" in rows["bytes for a shared screen with text"]
    assert "| 12.3 ms | **no** |" in rows["A/V drift in half an hour"]
    assert rows["memory (PSS) of a whole job"].endswith("| 305 MB | goal |  |")
    told = first.replace("| 305 MB | goal |  |", "| 305 MB | goal | Chromium alone is 300 |")
    assert "| 305 MB | goal | Chromium alone is 300 |" in targets(ROWS, told)


@pytest.mark.parametrize("quality", [(28.9, 40.0), (29.5, 39.9)])
def test_worse_text_meets_no_target_however_small(quality: tuple[float, float]) -> None:
    """Fewer bytes do not count where SSIM or PSNR is below the reference's."""
    ours, theirs = encoded("document", "ours", 100.0, *quality), encoded("document", "reference", 1000.0, 29.0)
    assert "(40.0) | **no** |" in targets({**ROWS, "quality": [ours, theirs]}, "")


def test_targets_say_what_was_not_measured() -> None:
    """A part that never ran is no success."""
    assert targets({part: [] for part in PARTS}, "").count("not measured") == len(TARGETS)


def test_what_was_measured_before_stays() -> None:
    """A part alone, on a machine on which nothing else was measured, says nothing of the others."""
    first = targets(ROWS, "")
    again = targets({**{part: [] for part in PARTS}, "cpu": ROWS["cpu"]}, first)
    assert again == first


def test_part_measured_alone_leaves_the_others_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine, with nothing kept of them."""
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "load", lambda part: Result(part, ROWS[part], [], MACHINE) if part == "start" else None)
    marked = "\n".join(f"{begin(name)}\nold {name}\n{end(name)}" for name in (*PARTS, "machine", "targets"))
    page.PAGE.write_text(marked, encoding="utf-8")
    page.write()
    text = page.PAGE.read_text(encoding="utf-8")
    assert [part for part in PARTS if f"old {part}" not in text] == ["start"]


def test_page_is_filled_between_its_marks() -> None:
    """What people wrote stays, what was measured is replaced, and a part without a place is an error."""
    text = f"Before.\n{begin('cpu')}\nold\n{end('cpu')}\nAfter."
    assert filled(text, {"cpu": "new \\1"}) == f"Before.\n{begin('cpu')}\nnew \\1\n{end('cpu')}\nAfter."
    with pytest.raises(BenchError, match="no place for av"):
        filled(text, {"av": "x"})
    marks = page.PAGE.read_text(encoding="utf-8")
    assert all(begin(part) in marks and end(part) in marks for part in (*PARTS, "machine", "targets"))


def test_a_part_measured_again_replaces_its_own_rows_only() -> None:
    """Scenes can be measured one after another; a scene that is measured again is not counted twice."""
    old = [{"scene": "still", "run": 1}, {"scene": "tiles", "run": 1}]
    new = [{"scene": "still", "run": 1}, {"scene": "still", "run": 2}]
    assert merged(old, new, ["scene"]) == [{"scene": "tiles", "run": 1}, *new]
    assert merged(old, new, []) == new


@pytest.mark.parametrize("first", [1, 3, 8])
@pytest.mark.parametrize("truth", [0, 1, 4, 12])
async def test_highest_number_is_found_from_anywhere(truth: int, first: int) -> None:
    """The search ends at the highest number that passes, and tries none twice."""
    tried: list[int] = []

    async def tries(jobs: int) -> bool:
        tried.append(jobs)
        return jobs <= truth

    assert await highest(tries, first, most=12) == truth
    assert len(tried) == len(set(tried))
    assert max(tried) <= max(first, truth + 1), "more jobs than are needed make the machine stand still"


def test_a_job_without_a_file_or_with_a_hole_fails_all() -> None:
    """All jobs have to be whole: files, frames and beeps."""
    whole = Reading(0.0, 0.0, 0.0, 0.0, lost=0.0, beeps=9, beeps_moved=0, seconds=10.0)
    holed = Reading(0.0, 0.0, 0.0, 0.0, lost=0.0, beeps=9, beeps_moved=1, seconds=10.0)
    jerky = Reading(0.0, 0.0, 0.0, 0.0, lost=0.01, beeps=9, beeps_moved=0, seconds=10.0)
    assert keeps_frames([whole, holed], 2)
    assert is_whole([whole, whole], 2)
    assert not any(
        (is_whole([whole], 2), is_whole([whole, holed], 2), keeps_frames([whole], 2), keeps_frames([jerky], 1))
    )


def test_offset_is_that_of_the_nearest_flash_less_half_a_frame() -> None:
    """Late video is positive; a beep without a flash has no offset."""
    found = offsets_ms([1.02, 2.0], [1.0, 2.03, 3.0], 10.0)
    assert [beep_s for beep_s, _ in found] == [1.0, 2.03]
    assert [offset for _, offset in found] == pytest.approx([10.0, -40.0])


def test_lost_frames_are_those_that_the_page_drew_and_the_rate_has_room_for() -> None:
    """A frame that is repeated or unreadable is none; the ends of the file do not count, nor a page that is slow."""
    steady = [(number / 10, 3 * number) for number in range(50)]
    assert lost_share(steady, 10, 1.0, 4.0) == 0.0
    assert lost_share(steady, 8, 1.0, 4.0) == 0.0
    held = [(at_s, None if value == 45 else value) for at_s, value in steady]
    assert lost_share(held, 10, 1.0, 4.0) == pytest.approx(1 / 30)
    every_other = [(at_s, value - value % 6) for at_s, value in steady]
    assert lost_share(every_other, 10, 1.0, 4.0) == pytest.approx(0.5, abs=0.02)
    slow_page = [(number / 10, number // 2) for number in range(50)]
    assert lost_share(slow_page, 10, 1.0, 4.0) == 0.0
    assert lost_share([], 10, 1.0, 4.0) == 1.0


@pytest.mark.parametrize(
    ("heard", "moved"),
    [
        ([0.4, 1.4, 2.4, 3.4, 4.4], 0),
        ([0.4, 1.4, 2.45, 3.45, 4.45], 1),
        ([1.4, 3.4, 4.4], 1),
        ([3.4, 4.4], 1),
        ([1.4, 2.4], 1),
        ([], 4),
    ],
)
def test_beeps_that_are_missing_or_off_their_second_are_counted(heard: list[float], moved: int) -> None:
    """Whole audio has a beep on every second, also at both ends."""
    assert moved_beeps(heard, 1.0, 5.0) == moved


def test_tables_are_markdown() -> None:
    """A row has as many cells as the head."""
    assert tables.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
