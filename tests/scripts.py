"""Names in the scripts of the world, and a page that says which of their letters a browser draws as boxes.

The page needs no server and no file: any Chromium, also one in a container, judges by itself.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
from collections.abc import Sequence
from typing import Any

NAMES = {
    "Latin": "ĄčĐęĞĳŁňœřŞțŵżẞ",
    "Vietnamese": "Nguyễn Thị Hường",
    "Latin of Africa": "Ɓɛɗŋɔƴ Ọ̀ṣun",
    "Greek": "Γιώργος Παπαδόπουλος",
    "Greek of old": "Ἀριστοτέλης ᾠδή",
    "Cyrillic": "Юрий Щукин Ґеорґій Ђорђе",
    "Cyrillic of Asia": "Өмүрбек Ғани Ҷамшед Ңҳқӣ",
    "Armenian": "Արմեն Հովհաննիսյան",
    "Georgian": "გიორგი ბერიძე ᲒᲘᲝᲠᲒᲘ",
    "Hebrew": "יוֹסֵף כץ",
    "Arabic": "محمد عبد الله",
    "Persian": "پژمان گلچین",
    "Urdu": "ڈاکٹر ٹیپو ے ںہ بھائی",
    "Pashto": "ښځې ګړندی ټوپک",
    "Sindhi": "ڄڻڏ ٻاجھ",
    "Uyghur": "ئۆمەر ۋاڭ",
    "Syriac": "ܝܘܚܢܢ",
    "Thaana": "މުޙައްމަދު",
    "N'Ko": "ߒߞߏ ߡߊߡߊߘߌ",
    "Devanagari": "श्रीनिवास कृष्णमूर्ति",
    "Bengali": "রবীন্দ্রনাথ ঠাকুর",
    "Gurmukhi": "ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ",
    "Gujarati": "ગાંધી મોહનદાસ",
    "Odia": "ଜଗନ୍ନାଥ ଦାସ",
    "Tamil": "கிருஷ்ணன்",
    "Telugu": "శ్రీనివాసరావు",
    "Kannada": "ಕೃಷ್ಣಮೂರ್ತಿ",
    "Malayalam": "കൃഷ്ണൻ നമ്പൂതിരി",
    "Sinhala": "සුනිල් පෙරේරා",
    "Thai": "สมชาย กิตติ์ธนา",
    "Lao": "ສົມສັກ ວົງຄຳ",
    "Khmer": "សុខា ច័ន្ទធី",
    "Myanmar": "အောင်ဆန်းစုကြည်",
    "Tibetan": "བསྟན་འཛིན་རྒྱ་མཚོ",
    "Ethiopic": "ኃይለ ገብረሥላሴ",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ",
    "Cherokee": "ᏣᎳᎩ ᏍᏏᏉᏯ",
    "Canadian syllabics": "ᐃᓄᒃᑎᑐᑦ",
    "Tifinagh": "ⵢⵓⵙⵓⴼ",
    "Javanese": "ꦗꦮ",
    "Balinese": "ᬩᬮᬶ",
    "Han, simplified": "张伟 刘洋",
    "Han, traditional": "陳怡君 黃國華",
    "Kana": "さくら タカハシ ﾀﾅｶ",
    "Kanji": "髙橋 﨑 渡邉",
    "Hangul": "김민준 똠",
    "Bopomofo": "ㄅㄆㄇㄈ",
    "Yi": "ꆈꌠ",
    "emoji": "😀👋🏽👩‍💻🇺🇦❤️🫠",
    "symbols": "★♥☺✓→€₹₺₴₿№™…",
}
"""A name, or letters that people of that script use in theirs."""

PAGE = """<!doctype html><meta charset="utf-8"><title>scripts</title>
<style>body { font: 28px %(family)s; margin: 8px; background: #fff; color: #000; columns: 3 }
td { padding: 2px 8px } td:first-child { font: 13px sans-serif; color: #555 }</style>
<table>%(rows)s</table><pre id="found"></pre><script>
const canvas = new OffscreenCanvas(160, 96), pen = canvas.getContext("2d", {willReadFrequently: true});
const draw = (text) => {
  pen.clearRect(0, 0, 160, 96);
  pen.font = "40px %(family)s";
  pen.fillText(text, 48, 64);
  return String(pen.getImageData(0, 0, 160, 96).data);
};
// Nobody has a letter for these: one is for private use, one is not assigned, one never will be.
const NONE = ["\\u{10FFF0}", "\\u0378", "\\uFDD0"], blank = draw("");
const boxes = (base) => new Set(NONE.map((none) => draw(base + none)));
const alone = boxes("");
// A letter by itself; a mark, which by itself stands on a circle, behind the letter that it is for.
const is_box = (letter, base) => {
  const drawn = draw(letter);
  if (!/\\p{M}/u.test(letter)) return drawn === blank || alone.has(drawn);
  const whole = draw(base + letter);
  return whole === blank || boxes(base).has(whole);
};
const found = {};
for (const [script, name] of Object.entries(%(names)s)) {
  let base = "";
  for (const letter of name) {
    if (/[\\s\\p{Cf}\\uFE0F\\u{1F1E6}-\\u{1F1FF}]/u.test(letter)) continue;
    if (is_box(letter, base)) (found[script] ??= []).push(letter);
    if (!/\\p{M}/u.test(letter)) base = letter;
  }
}
document.querySelector("#found").textContent = JSON.stringify({found, drawn: alone.size, inked: !alone.has(blank)});
</script>"""


def page(family: str = "sans-serif") -> str:
    """Return the page, as HTML. `family` is CSS: the fonts to take, before the browser looks for others."""
    rows = "".join(f"<tr><td>{script}<td>{html.escape(name)}" for script, name in NAMES.items())
    return PAGE % {"family": family, "rows": rows, "names": json.dumps(NAMES)}


async def drawn_as_boxes(chromium: Sequence[str], **more: Any) -> dict[str, list[str]]:
    """Return the letters that the browser started by `chromium` has no picture for, by script.

    The words in `chromium` start it, as root if it must be; `more` goes to the process.
    """
    address = "data:text/html;base64," + base64.b64encode(page().encode()).decode()
    command = (*chromium, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom")
    process = await asyncio.create_subprocess_exec(
        *command, address, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, **more
    )
    out, err = await process.communicate()
    match = re.search(r'<pre id="found">(.+?)</pre>', out.decode())
    assert match, f"no verdict: {err.decode()[-500:]}"
    verdict = json.loads(html.unescape(match[1]))
    assert verdict["inked"], "the browser draws nothing where it has no letter: boxes cannot be told"
    found: dict[str, list[str]] = verdict["found"]
    return found
