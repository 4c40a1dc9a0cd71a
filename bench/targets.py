"""The targets of the project and what was measured: one line each, met or not, from the rows of all parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from bench.figures import Spread, ratio, slope_per_min
from bench.results import Row
from bench.tables import own_share, pick, table

Rows = Mapping[str, Sequence[Row]]
CAPTURE = ("video grabber", "audio grabber", "relay", "encoder")


@attrs.frozen
class Found:
    """What was measured: as text, and whether it is within the least that is asked for, and the goal."""

    text: str
    least: bool
    goal: bool


@attrs.frozen
class Target:
    """One target; `original` is a figure that was given, not one of this bench."""

    what: str
    original: str
    least: str
    goal: str
    found: Callable[[Rows], Found | None]


def _cpu(scene: str, least: float, goal: float) -> Callable[[Rows], Found | None]:
    def find(rows: Rows) -> Found | None:
        ours, theirs = (pick(rows["cpu"], own_share, scene=scene, who=who) for who in ("ours", "reference"))
        found = ratio(ours, theirs)
        if found is None:
            return None
        text = f"{Spread.of(ours).shown()} % of a core, {found.shown(2)} of the reference"
        return Found(text, found.median <= least, found.median <= goal)

    return find


def _offset(rows: Rows) -> Found | None:
    values = [row["offset_ms"] for row in rows["av"] if row["who"] == "ours" and row["offset_ms"] is not None]
    if not values:
        return None
    spread = max(values) - min(values)
    worst = max(abs(value) for value in values)
    text = f"{min(values):.0f} to {max(values):.0f} ms in {len(values)} recordings"
    return Found(text, worst <= 20 and spread <= 20, worst <= 10 and spread <= 10)


def _drift(rows: Rows) -> Found | None:
    values = pick(rows["av"], lambda row: abs(row["drift_ms_per_30_min"]), kind="long", who="ours")
    return Found(f"{max(values):.1f} ms", max(values) <= 10, max(values) <= 10) if values else None


def _first_frame(rows: Rows) -> Found | None:
    values = pick(rows["av"], lambda row: row["first_frame_s"], who="ours")
    return Found(f"{max(values):.3f} s at most", max(values) < 0.001, max(values) < 0.001) if values else None


def _bytes(rows: Rows) -> Found | None:
    of = {
        row["encoder"]: row
        for row in rows["quality"]
        if (row["scene"], row["name"]) == ("document", "default") and row["preset"] == "fast"
    }
    if set(of) != {"ours", "reference"}:
        return None
    ours, theirs = of["ours"], of["reference"]
    as_good = ours["ssim_db"] >= theirs["ssim_db"] and ours["psnr_db"] >= theirs["psnr_db"]
    share = ours["kbps"] / theirs["kbps"]
    text = (
        f"{ours['kbps']:.0f} kbit/s at {ours['ssim_db']:.1f} dB (PSNR {ours['psnr_db']:.1f}), {share:.2f} of the "
        f"reference's {theirs['kbps']:.0f} at {theirs['ssim_db']:.1f} dB ({theirs['psnr_db']:.1f})"
    )
    return Found(text, as_good and share <= 0.5, as_good and share <= 0.25)


def _start(jobs: int, key: str, least: float, goal: float) -> Callable[[Rows], Found | None]:
    def find(rows: Rows) -> Found | None:
        values = pick(rows["start"], lambda row: row[key], jobs=jobs, who="ours")
        if not values:
            return None
        found = Spread.of(values)
        return Found(f"{found.shown(1)} s", found.median <= least, found.median <= goal)

    return find


def _memory(rows: Rows) -> Found | None:
    values = pick(rows["cpu"], lambda row: sum(row["memory"].values()), who="ours")
    if not values:
        return None
    found = Spread.of(values)
    return Found(f"{found.shown()} MB", found.high <= 750, found.high <= 650)


def _capture_memory(rows: Rows) -> Found | None:
    series = [
        (row["at_s"], sum(row["parts"].get(part, 0.0) for part in CAPTURE))
        for row in rows["memory"]
        if row["who"] == "ours"
    ]
    if not series:
        return None
    most, growth = max(value for _, value in series), slope_per_min(series[len(series) // 3 :])
    return Found(f"{most:.0f} MB at most, {growth:+.2f} MB/min", most <= 300, most <= 300 and growth < 0.1)


def _side_by_side(rows: Rows) -> Found | None:
    for row in rows["density"]:
        if (row["who"], row["scene"], row["point"]) == ("ours", "moving", "medium"):
            lost = ", ".join(f"{one['jobs']}: {100 * one['lost']:.1f} %" for one in row["tried"])
            text = f"{row['jobs']} jobs pass (worst frames lost by number of jobs: {lost})"
            return Found(text, row["jobs"] >= 5, row["jobs"] >= 6)
    return None


TARGETS = (
    Target("CPU of all but Chromium, nothing moves", "57 %", "0.25 of the reference", "0.10", _cpu("still", 0.25, 0.1)),
    Target("the same, tiles move", "68 %", "0.75 of the reference", "0.6", _cpu("tiles", 0.75, 0.6)),
    Target(
        "A/V offset, median of a recording", "-16 to +58 ms", "within 20 ms, spread 20", "within 10, spread 10", _offset
    ),
    Target("A/V drift in half an hour", "", "10 ms", "10 ms", _drift),
    Target("first frame after the begin of the file", "0", "0", "0", _first_frame),
    Target(
        "bytes for a shared screen with text",
        "1177 kbit/s at 33.3 dB",
        "SSIM and PSNR not below, 0.5 of the reference's bytes",
        "0.25",
        _bytes,
    ),
    Target("start to `started`, alone", "2.7 to 4.2 s", "2.5 s", "2 s", _start(1, "started_s", 2.5, 2.0)),
    Target(
        "start to `started`, five jobs in the same second",
        "5.4 to 8.1 s",
        "not above the original's",
        "",
        _start(5, "started_s", 8.1, 5.4),
    ),
    Target("CPU seconds until `started`", "1.5", "2.0", "1.5", _start(1, "cpu_s", 2.0, 1.5)),
    Target("memory (PSS) of a whole job", "940 to 958 MB", "750 MB", "650 MB", _memory),
    Target("memory of the capture, both cores busy", "", "300 MB", "and flat", _capture_memory),
    Target(
        "jobs at 720p20 `veryfast` with less than 1 % of frames lost",
        "7.9 % lost by five",
        "five",
        "six",
        _side_by_side,
    ),
)


NOT_MEASURED = ("", "not measured", "")


def kept(page: str) -> dict[str, tuple[str, str, str]]:
    """Return the last three columns of the table of targets on a page, by its first one. People write the last."""
    found = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 7:
            found[cells[0]] = (cells[4], cells[5], cells[6])
    return found


def targets(rows: Rows, page: str) -> str:
    """Return the table of targets; the reasons that stand on `page` stay, and what was not measured now."""
    before = kept(page)
    lines = []
    for target in TARGETS:
        text, met, why = before.get(target.what, NOT_MEASURED)
        if found := target.found(rows):
            text, met = found.text, "goal" if found.goal else "least" if found.least else "**no**"
        lines.append([target.what, target.original, target.least, target.goal, text, met, why])
    return table(["Measure", "Original", "Least", "Goal", "Measured", "Met", "What holds the rest back"], lines)
