"""The plots of docs/performance.md: PNG files by matplotlib, made to be read at a glance.

Ours is blue, the reference is grey, everywhere. The title says what is good.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib import ticker

from bench.cpu import WORDS as CPU_WORDS
from bench.parts import OWN_PARTS
from bench.results import Row
from bench.scenes import POINTS, SCENE_WORDS

COLOURS = {"ours": "#1c58d9", "reference": "#8a8f98"}
LABELS = {"ours": "recorder-fsm", "reference": "reference"}
GROUPS = {
    "grabbing": ("video grabber", "audio grabber", "relay"),
    "encoder": ("encoder",),
    "Xvfb and PulseAudio": ("Xvfb", "PulseAudio"),
    "Python and driver": ("Python", "driver"),
}
"""All parts but Chromium, as the plot of CPU and memory shows them. The reference's encoder also grabs."""
GROUP_COLOURS = ("#2f9e75", "#1c58d9", "#e8a13c", "#8b5cf6", "#c9ced6")
LEAST_SPAN_DB = 4.0
"""A difference that nobody sees should not fill a plot."""
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "legend.frameon": False,
}


@contextmanager
def figure(path: Path, columns: int = 1, *, width: float = 8.0, height: float = 3.8) -> Iterator[Any]:
    """Give the axes of a new picture, which is written to `path`."""
    mpl.use("Agg")
    with mpl.rc_context(STYLE):
        made, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False, layout="constrained")
        yield axes[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        made.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(made)


def below(axes: Any, columns: int) -> None:
    """Put the legend under the axes, where it covers nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, fontsize=9)


def grouped(shares: Sequence[dict[str, float]], groups: dict[str, tuple[str, ...]] = GROUPS) -> dict[str, float]:
    """Return the median over runs of each group of parts."""
    return {
        name: statistics.median(sum(run.get(part, 0.0) for part in names) for run in shares)
        for name, names in groups.items()
    }


def cpu(rows: Sequence[Row], path: Path) -> None:
    """Draw bars of CPU by part, for each scene, ours beside the reference."""
    scenes = [scene for scene in CPU_WORDS if any(row["scene"] == scene for row in rows)]
    bars = [(scene, who) for scene in scenes for who in ("reference", "ours")]
    with figure(path, height=0.9 + 0.62 * len(bars)) as (axes,):
        places = [len(bars) - number + (0.3 if number % 2 else 0) for number in range(len(bars))]
        left = [0.0] * len(bars)
        found = [grouped([row["shares"] for row in rows if (row["scene"], row["who"]) == bar] or [{}]) for bar in bars]
        for name, colour in zip(GROUPS, GROUP_COLOURS, strict=False):
            values = [one[name] for one in found]
            axes.barh(places, values, left=left, color=colour, label=name, height=0.68)
            left = [before + value for before, value in zip(left, values, strict=True)]
        whole = {"all": OWN_PARTS}
        for place, stop, bar in zip(places, left, bars, strict=True):
            those = [row["shares"] for row in rows if (row["scene"], row["who"]) == bar] or [{}]
            axes.text(stop + 1, place, f"{grouped(those, whole)['all']:.0f} %", va="center")
        axes.set_yticks(places, [f"{CPU_WORDS[scene]}, {LABELS[who]}" for scene, who in bars])
        axes.set_xlabel("% of one core, without Chromium")
        axes.set_xlim(0, 1.12 * max(left, default=1.0))
        axes.grid(axis="y", visible=False)
        axes.set_title("CPU by part: shorter is better")
        below(axes, 4)


def av(rows: Sequence[Row], path: Path) -> None:
    """Draw the A/V offset of each run as a point."""
    kinds = [kind for kind in ("together", "three") if any(row["kind"] == kind for row in rows)]
    titles = {"together": "one call", "three": "three at once"}
    with figure(path, max(1, len(kinds)), height=3.6) as found:
        for axes, kind in zip(found, kinds, strict=False):
            axes.axhspan(-20, 20, color="#2f9e75", alpha=0.14, lw=0)
            axes.axhline(0, color="#2f9e75", lw=1)
            for who in ("reference", "ours"):
                values = [
                    row["offset_ms"]
                    for row in rows
                    if (row["kind"], row["who"]) == (kind, who) and row["offset_ms"] is not None
                ]
                axes.plot(range(1, len(values) + 1), values, "o", color=COLOURS[who], label=LABELS[who], ms=7)
            axes.set_title(f"Video after audio, {titles[kind]}")
            axes.set_xlabel("recording")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
            axes.set_ylabel("ms (green: within 20)")
            below(axes, 2)


def quality(rows: Sequence[Row], path: Path, point: str = "default") -> None:
    """Draw the rate against the quality, a plot for each scene; an arrow's way is up and to the left."""
    scenes = [scene for scene in SCENE_WORDS if any(row["scene"] == scene for row in rows)]
    shown = [row for row in rows if row["name"] == point]
    with figure(path, max(1, len(scenes)), width=11.0, height=3.9) as found:
        for axes, scene in zip(found, scenes, strict=False):
            for who in ("reference", "ours"):
                those = sorted(
                    (row for row in shown if (row["scene"], row["encoder"]) == (scene, who)),
                    key=lambda row: row["kbps"],
                )
                axes.plot(
                    [row["kbps"] for row in those],
                    [row["ssim_db"] for row in those],
                    "o",
                    color=COLOURS[who],
                    label=LABELS[who],
                )
                for row in those:
                    axes.annotate(
                        row["preset"],
                        (row["kbps"], row["ssim_db"]),
                        fontsize=7,
                        xytext=(4, 3),
                        textcoords="offset points",
                    )
            axes.set_title(SCENE_WORDS[scene].split(",")[0].capitalize(), fontsize=10)
            axes.set_xlabel("kbit/s (fewer is better)")
            axes.set_xlim(0, 1.12 * axes.dataLim.x1)
            low, high = axes.get_ylim()
            room_db = max(0.0, LEAST_SPAN_DB - (high - low)) / 2
            axes.set_ylim(low - room_db, high + room_db)
        found[0].set_ylabel("SSIM of luma, dB (more is better)")
        below(found[0], 2)


def memory(rows: Sequence[Row], path: Path) -> None:
    """Draw memory over time under load, stacked by part, ours beside the reference."""
    with figure(path, 2, height=3.6) as found:
        groups = {**GROUPS, "Chromium": ("Chromium",)}
        top = 1.0
        for axes, who in zip(found, ("reference", "ours"), strict=True):
            those = [row for row in rows if row["who"] == who]
            if not those:
                continue
            series = defaultdict(list)
            for row in those:
                for name, value in grouped([row["parts"]], groups).items():
                    series[name].append(value)
            axes.stackplot(
                [row["at_s"] / 60 for row in those], *series.values(), labels=series.keys(), colors=GROUP_COLOURS, lw=0
            )
            axes.set_title(f"Memory, {LABELS[who]}")
            axes.set_xlabel("minutes, all cores busy with something else")
            top = max([top, *(sum(row["parts"].values()) for row in those)])
        for axes in found:
            axes.set_ylim(0, 1.05 * top)
        found[0].set_ylabel("MB (PSS)")
        handles, labels = found[1].get_legend_handles_labels()
        found[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)


def density(rows: Sequence[Row], path: Path) -> None:
    """Draw how many jobs run side by side, for each profile and scene."""
    kinds = [(point, scene) for point in POINTS for scene in ("moving", "static") if _of(rows, point, scene)]
    with figure(path, width=9.0, height=3.8) as (axes,):
        for shift, who in ((-0.2, "reference"), (0.2, "ours")):
            found = [next((row for row in _of(rows, *kind) if row["who"] == who), None) for kind in kinds]
            places = [place + shift for place in range(len(kinds))]
            kept = [row["jobs"] if row else 0 for row in found]
            bars = axes.bar(
                places, kept, width=0.38, color=COLOURS[who], alpha=0.35, label=f"{LABELS[who]}, frames kept"
            )
            axes.bar_label(bars, padding=2)
            whole = [row["whole"] if row else 0 for row in found]
            axes.bar(places, whole, width=0.38, color=COLOURS[who], label=f"{LABELS[who]}, audio whole, too")
        axes.set_xticks(
            range(len(kinds)), [f"{POINTS[point].words.replace(' ', chr(10))}\n{scene}" for point, scene in kinds]
        )
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("jobs side by side")
        axes.set_title("Density: higher is better")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)


def _of(rows: Sequence[Row], point: str, scene: str) -> list[Row]:
    return [row for row in rows if (row["point"], row["scene"]) == (point, scene)]
