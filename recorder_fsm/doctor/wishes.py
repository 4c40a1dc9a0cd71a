"""What a job would be asked to do here: the settings as far as they are right, and what is wrong with the others.

A job refuses to start with one wrong setting; the doctor says so, and goes on with the default in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from recorder_fsm.config.settings import TABLE, refused_value
from recorder_fsm.plain_text import keep_secret

SERVER = ("SITE_URL", "AUTH_TOKEN")
JOB = ("SITE_URL", "CALL_ID", "POST_ID", "RECORDING_ID", "AUTH_TOKEN")


@attrs.frozen
class Wishes:
    """`values` by the field of `Settings`, usable ones only; `wrong` says of a variable what is wrong with its value.

    `given` are the names of the variables that are set.
    """

    values: Mapping[str, Any]
    wrong: Mapping[str, str]
    given: frozenset[str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Wishes:
        """Read every variable by itself; none is needed."""
        keep_secret(environment.get("AUTH_TOKEN", ""))
        values: dict[str, Any] = {}
        wrong: dict[str, str] = {}
        for variable in TABLE:
            raw, kind = environment.get(variable.name, ""), variable.kind
            try:
                value = kind.read(raw)
                refusal = refused_value(variable, {**values, variable.field: value})
            except ValueError as error:
                value, refusal = raw, str(error)
            if refusal:
                if raw:
                    wrong[variable.name] = f"{refusal}: it is {kind.shown(value)}, allowed are {kind.limits}"
                value = kind.read("")
            values[variable.field] = value
        given = frozenset(variable.name for variable in TABLE if environment.get(variable.name))
        return cls(values, wrong, given)

    def has(self, *names: str) -> bool:
        """Tell whether all of these are set, and right."""
        return all(name in self.given and name not in self.wrong for name in names)

    @property
    def posts(self) -> bool:
        """Whether the recording is posted by Mattermost's own API."""
        return bool(self.values["publish"] == "post")

    def without(self, *names: str) -> str:
        """Return why what needs these settings is skipped."""
        missing = [name for name in names if name not in self.given]
        wrong = [name for name in names if name in self.wrong]
        words = ([f"{' and '.join(missing)} not set"] if missing else []) + (
            [f"{' and '.join(wrong)} not valid"] if wrong else []
        )
        return "; ".join(words)

    @property
    def capture_size(self) -> tuple[int, int]:
        """Width and height that are recorded, in pixels: even ones."""
        width, height = int(self.values["width"]), int(self.values["height"])
        return width - width % 2, height - height % 2

    @property
    def hour_bytes(self) -> int:
        """How large a recording of an hour is at most."""
        return (int(self.values["video_rate_kbps"]) + int(self.values["audio_rate_kbps"])) * 1000 // 8 * 3600
