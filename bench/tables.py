"""The tables of docs/performance.md, from rows of measurements: pure text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.av import AT_ONCE
from bench.cpu import WORDS as CPU_WORDS
from bench.figures import Spread, ratio, slope_per_min
from bench.parts import OWN_PARTS, PART_NAMES
from bench.results import Row
from bench.scenes import POINTS

WHO_WORDS = {"ours": "recorder-fsm", "reference": "reference"}
AV_WORDS = {
    "together": "one call, both beside each other",
    "three": f"{AT_ONCE} jobs at once, each alone",
    "long": "half an hour",
}
GROWING = ("video grabber", "encoder", "relay")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def own_share(row: Row) -> float:
    """Return the CPU of all parts but Chromium, in percent of a core."""
    return sum(float(row["shares"].get(part, 0.0)) for part in OWN_PARTS)


def pick(rows: Sequence[Row], value: Callable[[Row], float], **wanted: object) -> list[float]:
    """Return a value of each row that is as wanted, in the rows' order."""
    return [value(row) for row in rows if all(row.get(key) == what for key, what in wanted.items())]


def cpu_totals(rows: Sequence[Row]) -> str:
    """Return CPU without Chromium, per scene, and ours as a ratio of the reference."""
    lines = []
    for scene, words in CPU_WORDS.items():
        ours, theirs = (pick(rows, own_share, scene=scene, who=who) for who in ("ours", "reference"))
        if ours and theirs:
            of_it = ratio(ours, theirs)
            lines.append([words, _spread(theirs), _spread(ours), of_it.shown(2) if of_it else ""])
    return table(["Without Chromium, % of a core", "Reference", "recorder-fsm", "Ratio"], lines)


def cpu_parts(rows: Sequence[Row]) -> str:
    """Return the median CPU of each part."""
    kinds = [
        (scene, who)
        for scene in CPU_WORDS
        for who in ("reference", "ours")
        if pick(rows, own_share, scene=scene, who=who)
    ]
    head = ["% of a core, medians", *(f"{CPU_WORDS[scene]}, {WHO_WORDS[who]}" for scene, who in kinds)]
    lines = []
    for part in PART_NAMES:
        cells = []
        for scene, who in kinds:
            those = [row for row in rows if (row["scene"], row["who"]) == (scene, who)]
            is_there = any(row["memory"].get(part) for row in those)
            cells.append(f"{Spread.of(row['shares'].get(part, 0.0) for row in those).median:.1f}" if is_there else "")
        lines.append([part, *cells])
    return table(head, lines)


def cpu_memory(rows: Sequence[Row]) -> str:
    """Return the memory of a whole job, and the rate of its file."""
    lines = []
    for scene, words in CPU_WORDS.items():
        for who in ("reference", "ours"):
            memory = pick(rows, lambda row: sum(row["memory"].values()), scene=scene, who=who)
            if memory:
                rates = pick(rows, lambda row: row["kbps"], scene=scene, who=who)
                frames = pick(rows, lambda row: row["frames_per_s"], scene=scene, who=who)
                lines.append([f"{words}, {WHO_WORDS[who]}", _spread(memory), _spread(rates), _spread(frames, 1)])
    return table(["Whole job, Chromium too", "MB (PSS)", "kbit/s of video", "frames/s"], lines)


def av(rows: Sequence[Row]) -> str:
    """Return offsets and what else is read of the pattern."""
    lines = []
    for kind, words in AV_WORDS.items():
        for who in ("reference", "ours"):
            those = [row for row in rows if (row["kind"], row["who"]) == (kind, who)]
            offsets = [row["offset_ms"] for row in those if row["offset_ms"] is not None]
            if not offsets:
                continue
            lines.append(
                [
                    f"{words}: {WHO_WORDS[who]}",
                    str(len(those)),
                    _spread(offsets),
                    f"{max(offsets) - min(offsets):.0f}",
                    _spread([row["spread_ms"] for row in those]),
                    _spread([row["first_frame_s"] for row in those], 3),
                    _spread([100 * row["lost"] for row in those], 1),
                    str(sum(row["beeps_moved"] for row in those)),
                    _spread([row["drift_ms_per_30_min"] for row in those]) if kind == "long" else "",
                ]
            )
    head = [
        "",
        "Recordings",
        "Offset, ms",
        "Between recordings, ms",
        "Within one, ms",
        "First frame, s",
        "Frames lost, %",
    ]
    return table([*head, "Beeps moved", "Drift, ms"], lines)


def quality(rows: Sequence[Row]) -> str:
    """Return rate and quality of both, side by side."""
    lines = []
    keys = list(dict.fromkeys((row["name"], row["preset"], row["scene"]) for row in rows))
    for name, preset, scene in keys:
        of = {
            row["encoder"]: row for row in rows if (row["name"], row["preset"], row["scene"]) == (name, preset, scene)
        }
        if set(of) != {"ours", "reference"}:
            continue
        ours, theirs = of["ours"], of["reference"]
        asked = ours["video_rate_kbps"]
        cells = [f"{row['kbps']:.0f} | {row['ssim_db']:.1f} | {row['psnr_db']:.1f}" for row in (theirs, ours)]
        over = f"{ours['highest_kbps']:.0f}{' (over)' if ours['highest_kbps'] > asked else ''}"
        cpu = f"{ours['cpu_s'] / theirs['cpu_s']:.2f}" if theirs["cpu_s"] else ""
        where = f"{ours['height']}p{ours['frame_rate']} {asked}k {preset}"
        lines.append([scene, where, *cells, f"{ours['kbps'] / theirs['kbps']:.2f}", over, cpu])
    head = ["Scene", "Asked for", "Reference: kbit/s", "SSIM", "PSNR", "recorder-fsm: kbit/s", "SSIM", "PSNR"]
    return table([*head, "Bytes, ratio", "Highest in 10 s", "CPU, ratio"], lines)


def start(rows: Sequence[Row]) -> str:
    """Return the times to `started`, and the CPU until then."""
    lines = []
    for jobs, who in sorted({(row["jobs"], row["who"]) for row in rows}):
        those = [row for row in rows if (row["jobs"], row["who"]) == (jobs, who)]
        times, spent = (_spread([row[key] for row in those], 1) for key in ("started_s", "cpu_s"))
        lines.append([f"{jobs} in the same second" if jobs > 1 else "one", who, str(len(those)), times, spent])
    return table(["Recorders", "Version", "Starts", "To `started`, s", "CPU until `started`, s"], lines)


def memory(rows: Sequence[Row]) -> str:
    """Return memory under load: at most, at the end, and how fast it grows, by part."""
    lines = []
    for who in ("reference", "ours"):
        those = [row for row in rows if row["who"] == who]
        for part in ("Chromium", *GROWING, "all"):
            series = [(row["at_s"], _memory(row, part)) for row in those]
            if not series or not max(value for _, value in series):
                continue
            late = [(at_s, value) for at_s, value in series if at_s >= series[-1][0] / 3]
            highest, last = max(value for _, value in series), series[-1][1]
            lines.append([WHO_WORDS[who], part, f"{highest:.0f}", f"{last:.0f}", f"{slope_per_min(late):+.2f}"])
    return table(["", "Part", "At most, MB", "At the end, MB", "Growth, MB/min"], lines)


def density(rows: Sequence[Row]) -> str:
    """Return how many jobs pass, and what the first that did not showed."""
    lines = []
    for name, point in POINTS.items():
        for scene in ("moving", "static"):
            for row in sorted(
                (row for row in rows if (row["point"], row["scene"]) == (name, scene)),
                key=lambda row: row["who"] == "ours",
            ):
                cells = [str(row["jobs"]), str(row["whole"]), _limit(row)]
                lines.append([f"{point.words}, {scene}: {WHO_WORDS[row['who']]}", *cells])
    return table(["Profile and page", "Frames kept", "Audio whole, too", "What more jobs lost"], lines)


def finish(rows: Sequence[Row]) -> str:
    """Return how long a long recording takes to be finished."""
    lines = [
        [f"{row['hours']:.1f} h", f"{row['gigabytes']:.1f} GB", f"{row['rewritten_s']:.1f}", f"{row['checked_s']:.1f}"]
        for row in rows
    ]
    return table(["Recording", "Size", "Rewritten, s", "Checked, s"], lines)


def _limit(row: Row) -> str:
    failed = sorted((one for one in row["tried"] if not one["whole"]), key=lambda one: int(one["jobs"]))
    return "; ".join(f"{one['jobs']}: {_loss(one)}" for one in failed)


def _loss(tried: Row) -> str:
    if tried["trouble"]:
        return str(tried["trouble"])
    return f"{100 * tried['lost']:.1f} % of the frames, {tried['beeps_moved']} beeps moved"


def _memory(row: Row, part: str) -> float:
    parts: dict[str, float] = row["parts"]
    return sum(parts.values()) if part == "all" else parts.get(part, 0.0)


def _spread(values: Sequence[float], digits: int = 0) -> str:
    return Spread.of(values).shown(digits)
