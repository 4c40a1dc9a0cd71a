"""What is recorded: the scenes of the stand-in's call page, and the sizes, rates and presets of the points."""

from __future__ import annotations

from typing import Any

import attrs

GRID: dict[str, Any] = {"mode": "call", "share": False}
TILES: dict[str, Any] = {"mode": "call", "share": False, "cameras": True}
DOCUMENT: dict[str, Any] = {"mode": "call", "share": True, "film": "document"}
SLIDES: dict[str, Any] = {"mode": "call", "share": True, "film": "slides"}
VIDEO: dict[str, Any] = {"mode": "call", "share": True, "film": "video"}
PATTERN: dict[str, Any] = {"mode": "pattern"}
LIT_CALL: dict[str, Any] = {"mode": "call", "share": False, "sync": True}
"""A call in which nothing moves but a small light, once a second, with a tick."""

QUALITY_SCENES = {"grid": GRID, "document": DOCUMENT, "slides": SLIDES, "video": VIDEO}
SCENE_WORDS = {
    "grid": "a grid where people speak, nothing else moves",
    "document": "a document that is written, beside figures that move",
    "slides": "text that scrolls, slides that change",
    "video": "a moving video",
}


@attrs.frozen
class Point:
    """What a job is asked for: a size in pixels, frames per second, kbit/s of video, a preset of x264."""

    name: str
    width: int
    height: int
    frame_rate: int
    video_rate_kbps: int
    preset: str

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}@{self.frame_rate}"

    @property
    def words(self) -> str:
        return f"{self.height}p{self.frame_rate} {self.video_rate_kbps}k {self.preset}"

    def variables(self) -> dict[str, str]:
        """Return it as a job's environment has it (contract 1.2)."""
        return {
            "WIDTH": str(self.width),
            "HEIGHT": str(self.height),
            "FRAME_RATE": str(self.frame_rate),
            "VIDEO_RATE": str(self.video_rate_kbps),
            "VIDEO_PRESET": self.preset,
        }


# The plugin's three qualities (contract 1.3), and the recorder's own default.
LOW = Point("low", 1280, 720, 15, 1000, "ultrafast")
MEDIUM = Point("medium", 1280, 720, 20, 1500, "veryfast")
HIGH = Point("high", 1920, 1080, 20, 2500, "veryfast")
DEFAULT = Point("default", 1920, 1080, 30, 1500, "fast")
PROFILES = (LOW, MEDIUM, HIGH)
POINTS = {point.name: point for point in (*PROFILES, DEFAULT)}
