"""Whether people's names will be drawn: letters of the scripts that need fonts of their own, as Chromium draws them."""

from __future__ import annotations

import json

from recorder_fsm.doctor.findings import Finding, Page
from recorder_fsm.terminal.screen import Mark

SCRIPTS = {
    "Latin": "Łukasz ñ ş",
    "Cyrillic": "Щукін",
    "Greek": "Γιώργος",
    "Arabic": "محمد",
    "Hebrew": "יוסף",
    "Devanagari": "कृष्ण",
    "Thai": "สมชาย",
    "Chinese": "张伟陳",
    "Japanese": "さくら髙",
    "Korean": "김민준",
    "emoji": "😀👋🎧",
}
PACKAGES = "Debian: apt-get install fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji"

# A letter without a font is drawn as a box, as code points are that nobody has a letter for.
SCRIPT = """((scripts) => {
  const pen = new OffscreenCanvas(96, 64).getContext("2d", {willReadFrequently: true});
  const drawn = (text) => {
    pen.clearRect(0, 0, 96, 64);
    pen.font = "32px sans-serif";
    pen.fillText(text, 24, 44);
    return String(pen.getImageData(0, 0, 96, 64).data);
  };
  const blank = drawn(""), boxes = new Set(["\\u{10FFF0}", "\\u0378", "\\uFDD0"].map(drawn));
  const lacks = (letter) => { const seen = drawn(letter); return seen === blank || boxes.has(seen); };
  const letters = (text) => [...text].filter((letter) => !/[\\s\\p{M}]/u.test(letter));
  return Object.entries(scripts).filter(([, text]) => letters(text).some(lacks)).map(([name]) => name);
})(%s)"""


async def look(page: Page) -> Finding:
    """Have the page draw a word of each script, and say which are drawn as boxes."""
    missing = [str(name) for name in await page.evaluate(SCRIPT % json.dumps(SCRIPTS))]
    if missing:
        value = f"boxes instead of letters: {', '.join(missing)}"
        return Finding(
            "fonts", Mark.WARNING if len(missing) < len(SCRIPTS) else Mark.BAD, value, PACKAGES, {"missing": missing}
        )
    return Finding(
        "fonts", Mark.OK, f"{len(SCRIPTS)} scripts are drawn, Chinese and emoji among them", data={"missing": []}
    )
