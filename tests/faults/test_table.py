"""The table of the fault suite: what hours of faults have measured must get into the document."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tests.faults.scene import Row
from tests.faults.table import BEGIN, END, write_table

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)


def test_rows_of_any_name_are_in_their_order(tmp_path: Path) -> None:
    """By number and by word, whichever comes where."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    names = ["secrets", "R10 full", "announced", "R9 tail", "R9", "R16 20 s", "R16 start", "S1", "R9 network"]
    write_table([Row(name, "it") for name in names], page, on=MONDAY)
    shown = [line.split(" | ")[0].removeprefix("| ") for line in page.read_text().splitlines() if " | it | " in line]
    assert shown == ["R9", "R9 network", "R9 tail", "R10 full", "R16 20 s", "R16 start", "S1", "announced", "secrets"]
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    assert "old" not in page.read_text()


def test_some_rows_take_the_place_of_their_own(tmp_path: Path) -> None:
    """The others stay, with the day on which they were played, and the worst is that of all."""
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    write_table(
        [Row("R1", "kill", notice_s=9.0), Row("R2", "stop", notice_s=2.5, published="4.3 s", exit_code=0)],
        page,
        on=MONDAY,
    )
    write_table([Row("R1", "kill", notice_s=0.5), Row("R3", "kill")], page, on=TUESDAY, keep=True)
    lines = [line for line in page.read_text().splitlines() if line.startswith("| R") and " | What" not in line]
    assert lines == [
        "| R1 | kill |  | 0.5 |  |  |  |  | 2024-01-02 |",
        "| R2 | stop |  | 2.5 |  | 4.3 s | 0 |  | 2024-01-01 |",
        "| R3 | kill |  |  |  |  |  |  | 2024-01-02 |",
    ]
    assert "Worst notice 2.5 s" in page.read_text()
