"""The switches that people add for Chromium (EXTRA_CHROMIUM_ARGS): which cannot be, and why.

Whatever does not take the picture, the sound, the control or the secrecy of a recording away is theirs to add; of those
that change a switch of ours, lists are joined to ours and the rest take its place (`launch_options.chromium_args`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ELSEWHERE = "the call would be shown elsewhere than on the display that is recorded, or nowhere"
PLACE = "the page has the size and the place of the picture (WIDTH and HEIGHT say which)"
COVERED = "the call would be covered"
PROFILE = "the recorder gives Chromium a directory of its own and removes it, since the token is in it"
CONTROL = "the recorder itself controls Chromium, and nobody else may"
NO_BROWSER = "Chromium would do something else than show a page, or wait for somebody"
SILENT = "the recording would have no sound"
MICROPHONE = "the call page would get no microphone, without which it does not join"
COLOURS = "the file says that its colours are those of sRGB"
NO_SCALE = "it is a number from 0.5 to 4"

REFUSED: Mapping[str, str] = {
    "headless": ELSEWHERE,
    "ozone-platform": ELSEWHERE,
    "ozone-platform-hint": ELSEWHERE,
    "display": ELSEWHERE,
    "no-startup-window": ELSEWHERE,
    "silent-launch": ELSEWHERE,
    "start-minimized": ELSEWHERE,
    "app": ELSEWHERE,
    "app-id": ELSEWHERE,
    "window-size": PLACE,
    "window-position": PLACE,
    "start-maximized": PLACE,
    "auto-open-devtools-for-tabs": COVERED,
    "enable-automation": COVERED,
    "force-first-run": COVERED,
    "show-fps-counter": COVERED,
    "ui-show-fps-counter": COVERED,
    "user-data-dir": PROFILE,
    "profile-directory": PROFILE,
    "profile-email": PROFILE,
    "temp-profile": PROFILE,
    "incognito": PROFILE,
    "guest": PROFILE,
    "bwsi": PROFILE,
    "disk-cache-dir": PROFILE,
    "media-cache-dir": PROFILE,
    "crash-dumps-dir": PROFILE,
    "enable-crash-reporter": PROFILE,
    "enable-crash-reporter-for-testing": PROFILE,
    "remote-debugging-port": CONTROL,
    "remote-debugging-address": CONTROL,
    "remote-debugging-pipe": CONTROL,
    "remote-debugging-io-pipes": CONTROL,
    "remote-debugging-socket-name": CONTROL,
    "remote-debugging-targets": CONTROL,
    "remote-allow-origins": CONTROL,
    "type": NO_BROWSER,
    "single-process": NO_BROWSER,
    "screenshot": NO_BROWSER,
    "dump-dom": NO_BROWSER,
    "print-to-pdf": NO_BROWSER,
    "repl": NO_BROWSER,
    "version": NO_BROWSER,
    "product-version": NO_BROWSER,
    "help": NO_BROWSER,
    "debug": NO_BROWSER,  # to Debian's launcher
    "pack-extension": NO_BROWSER,
    "wait-for-debugger": NO_BROWSER,
    "wait-for-debugger-children": NO_BROWSER,
    "renderer-startup-dialog": NO_BROWSER,
    "gpu-startup-dialog": NO_BROWSER,
    "utility-startup-dialog": NO_BROWSER,
    "mute-audio": SILENT,
    "disable-audio-output": SILENT,
    "alsa-output-device": SILENT,
    "autoplay-policy": SILENT,
    "use-fake-ui-for-media-stream": MICROPHONE,  # its value may be "deny"
    "deny-permission-prompts": MICROPHONE,
    "disable-audio-input": MICROPHONE,
    "force-color-profile": COLOURS,
    "force-raster-color-profile": COLOURS,
}
"""The names of switches, without dashes, that are left out, and why."""
SCALE = "--force-device-scale-factor"
"""For a call of people who want larger letters: the page gets so much smaller that it still fills the picture."""
LEAST_SCALE, MOST_SCALE = 0.5, 4.0


def sift(words: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the switches that Chromium is given, and those that are left out, each with why. All begin with `--`."""
    taken: list[str] = []
    left_out: list[tuple[str, str]] = []
    for word in words:
        name, _, value = word.partition("=")
        # Chromium takes no other spelling; one that would mean the same is not what anybody wants to have passed on.
        why = REFUSED.get(name.lstrip("-").lower().replace("_", "-"), "")
        if name == SCALE and scale(value) is None:
            why = NO_SCALE
        if why:
            left_out.append((word, why))
        else:
            taken.append(word)
    return taken, left_out


def scale(value: str) -> float | None:
    """Return how many pixels of the picture one of the page takes; None for a value that cannot be."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if LEAST_SCALE <= number <= MOST_SCALE else None
