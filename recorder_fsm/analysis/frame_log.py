"""What ffmpeg's `showinfo` prints of frames: their exact times, and their checksums.

It prints times with six digits only, which after an hour are tenths of a second; the stamps and their unit are exact.
"""

from __future__ import annotations

import re

_UNIT = re.compile(r"(?m)^\[Parsed_showinfo_\d+ @ (\S+)\] (?:\[info\] )?config in time_base: (\d+)/(\d+)")
_FRAME = re.compile(
    r"(?m)^\[Parsed_showinfo_\d+ @ (\S+)\] (?:\[info\] )?n: *\d+ pts: *(-?\d+) .*?(?: checksum:(\S+)|$)"
)


def frame_log(said: str) -> list[tuple[float, str]]:
    """Return time in seconds and checksum ("" where none was asked for) of each frame, in the order of showing."""
    units = {filter_: int(over) / int(under) for filter_, over, under in _UNIT.findall(said) if int(under)}
    return [
        (int(pts) * units[filter_], checksum) for filter_, pts, checksum in _FRAME.findall(said) if filter_ in units
    ]
