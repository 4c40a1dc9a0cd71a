"""People's names, in the scripts of the world, as Chromium draws them with the fonts that the project asks for."""

from __future__ import annotations

import os
from pathlib import Path

from recorder_fsm.system.process import find_program
from tests.scripts import NAMES, drawn_as_boxes

NO_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd"><fontconfig>
<include>/etc/fonts/fonts.conf</include>
<selectfont><rejectfont><glob>/usr/share/fonts/*/noto/*</glob></rejectfont></selectfont></fontconfig>"""


async def test_names_in_all_scripts_are_letters(tmp_path: Path) -> None:
    """No letter of any of them is a box, and nobody has to install a font for it."""
    assert len(NAMES) >= 28
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    assert await drawn_as_boxes([find_program("chromium")], env=env) == {}


async def test_names_without_their_fonts_are_found_out(tmp_path: Path) -> None:
    """The same look without Noto's fonts: what people saw as boxes is found, letter by letter."""
    (tmp_path / "fonts.conf").write_text(NO_FONTS, encoding="utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FONTCONFIG_FILE": str(tmp_path / "fonts.conf")}
    found = await drawn_as_boxes([find_program("chromium")], env=env)
    for script in ("Devanagari", "Bengali", "Tamil", "Han, simplified", "Hangul"):
        assert set(found[script]) == set(NAMES[script].replace(" ", ""))
    assert "Greek" not in found
