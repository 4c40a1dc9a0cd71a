"""docs/performance.md: what stands between two marks is written from the measurements, all else by people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import plots, tables
from bench.programs import BenchError
from bench.results import Result, Row, load
from bench.targets import targets

PAGE = Path("docs/performance.md")
IMAGES = Path("docs/images")
PARTS = ("cpu", "av", "quality", "start", "memory", "density", "finish")
PLOTS: dict[str, Callable[[Sequence[Row], Path], None]] = {
    "cpu": plots.cpu,
    "av": plots.av,
    "quality": plots.quality,
    "memory": plots.memory,
    "density": plots.density,
}
TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "cpu": lambda rows: "\n\n".join(make(rows) for make in (tables.cpu_totals, tables.cpu_parts, tables.cpu_memory)),
    "av": tables.av,
    "quality": tables.quality,
    "start": tables.start,
    "memory": tables.memory,
    "density": tables.density,
    "finish": tables.finish,
}
ALT = {
    "cpu": "CPU by part, recorder-fsm beside the reference",
    "av": "Audio against video of each recording",
    "quality": "Rate against quality of each scene",
    "memory": "Memory over time under load",
    "density": "How many jobs run side by side",
}


def begin(name: str) -> str:
    return f"<!-- measured: {name} -->"


def end(name: str) -> str:
    return f"<!-- end: {name} -->"


def filled(page: str, sections: dict[str, str]) -> str:
    """Return `page` with what stands between the marks of each section replaced; raises `BenchError` without marks."""
    for name, text in sections.items():
        before, mark, rest = page.partition(begin(name))
        _, closing, after = rest.partition(end(name))
        if not mark or not closing:
            raise BenchError(f"the page has no place for {name}: {begin(name)} ... {end(name)}")
        page = f"{before}{mark}\n{text}\n{closing}{after}"
    return page


def section(result: Result) -> str:
    """Return one part as the page shows it: the command, the plot, the tables."""
    commands = "\n".join(f"    {command}" for command in result.commands)
    plot = f"\n\n![{ALT[result.part]}](images/performance-{result.part}.png)" if result.part in PLOTS else ""
    found = result.machine
    commands += f"\n\nOn {found['date']}, {found['cores']} cores ({found['processor']})."
    commands += f" Others used {found['others']} of the machine meanwhile." if "others" in found else ""
    return f"\n{commands}{plot}\n\n{TABLES[result.part](result.rows)}\n"


def machine(results: Sequence[Result]) -> str:
    """Return the machine and its versions, as the newest part was measured; each part names its own."""
    found = max(results, key=lambda result: result.machine["date"]).machine
    versions = ", ".join(
        f"{name} {found[name]}"
        for name in ("Linux", "Python", "ffmpeg", "Chromium", "Xvfb", "PulseAudio")
        if name in found
    )
    return (
        f"\nLast measured on {found['date']}: {found['cores']} cores ({found['processor']}), {found['memory']} of "
        f"memory; {versions}.\n"
    )


def write() -> None:
    """Write the page and its pictures from all that has been measured."""
    results = [result for part in PARTS if (result := load(part))]
    if not results:
        raise BenchError("nothing has been measured")
    page = PAGE.read_text(encoding="utf-8")
    rows: defaultdict[str, Sequence[Row]] = defaultdict(list, {result.part: result.rows for result in results})
    sections = {result.part: section(result) for result in results}
    sections["machine"] = machine(results)
    sections["targets"] = f"\n{targets(rows, page)}\n"
    for result in results:
        if result.part in PLOTS:
            PLOTS[result.part](result.rows, IMAGES / f"performance-{result.part}.png")
    PAGE.write_text(filled(page, sections), encoding="utf-8")
