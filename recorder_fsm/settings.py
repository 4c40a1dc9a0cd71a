"""The job's settings, read once from the environment that the launcher gave us.

Owns the order of reading (contract 1.2): first all numbers are parsed, then defaults are filled in, then
values are checked, and the first refusal wins. What each variable means and allows is in `variables`.
Nothing here reads the process's own environment: the caller hands a mapping in.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from recorder_fsm import go_syntax
from recorder_fsm.errors import SettingsError
from recorder_fsm.variables import TABLE, File, Identifier, Row, Site, markdown_table

__all__ = ["TABLE", "Identity", "Settings", "markdown_table", "usable_identity"]

DEFAULT_PORTS = {"http": "80", "https": "443"}
SHORTEST_MASKED_TOKEN = 8


@attrs.frozen
class Settings:
    """What the job shall do.

    `width` and `height` are as asked; record `capture_width` by `capture_height`. Rates are in kbit/s, times
    in seconds. `dropped_chromium_args` are words of EXTRA_CHROMIUM_ARGS that are no switches, to warn about.
    """

    site_url: str
    call_id: str
    post_id: str
    recording_id: str
    auth_token: str = attrs.field(repr=False)
    width: int
    height: int
    video_rate_kbps: int
    audio_rate_kbps: int
    frame_rate: int
    output_format: str
    video_preset: str
    data_dir: Path = attrs.field(converter=Path)
    dev_mode: bool
    extra_chromium_args: tuple[str, ...]
    dropped_chromium_args: tuple[str, ...]
    tls_ca_cert_file: Path | None
    frame_timing: str
    log_format: str
    log_level: str
    max_duration_s: int | None
    stop_grace_s: int
    min_free_bytes: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read all variables of `TABLE`; raises `SettingsError` for the first wrong one (contract 1.2)."""
        values = {row.field: _read(row, environment) for row in TABLE}
        for row in TABLE:
            if refusal := row.kind.refusal(values[row.field]):
                shown = row.kind.shown(values[row.field])
                raise _refused(row, f"invalid config: {row.name} {refusal}", shown, environment)
        words = str(values["extra_chromium_args"]).split()
        values["extra_chromium_args"] = tuple(filter(_is_switch, words))
        values["dropped_chromium_args"] = tuple(word for word in words if not _is_switch(word))
        values["dev_mode"] = values["dev_mode"] == "true"
        values["max_duration_s"] = values["max_duration_s"] or None
        return cls(**values)

    @property
    def origin(self) -> str:
        """`scheme://host[:port]` as a browser writes it: lower case, no user, no default port."""
        return _origin(self.site_url)

    @property
    def capture_width(self) -> int:
        """Pixels, rounded down to even: H.264 with 4:2:0 colour holds no odd width. All limits are even."""
        return self.width - self.width % 2

    @property
    def capture_height(self) -> int:
        """Pixels, even, rounded down like `capture_width`."""
        return self.height - self.height % 2

    @property
    def made_even(self) -> bool:
        """Whether the recorded size differs from the size that was asked for."""
        return (self.capture_width, self.capture_height) != (self.width, self.height)

    @property
    def job_dir(self) -> Path:
        """The directory of this job's files."""
        return self.data_dir / self.recording_id


@attrs.frozen
class Identity:
    """Enough to tell the plugin that this job failed, when the rest of the environment is wrong."""

    site_url: str
    call_id: str
    post_id: str
    recording_id: str
    auth_token: str = attrs.field(repr=False)
    tls_ca_cert_file: Path | None = None


def usable_identity(environment: Mapping[str, str]) -> Identity | None:
    """Return who we are if address, ids and token are all valid and the address has a host, else None."""
    rows = {row.field: row for row in TABLE if isinstance(row.kind, Site | Identifier | File)}
    values = {field: _read(row, environment) for field, row in rows.items()}
    if rows["tls_ca_cert_file"].kind.refusal(values["tls_ca_cert_file"]):
        values["tls_ca_cert_file"] = None
    if any(row.kind.refusal(values[field]) for field, row in rows.items()):
        return None
    return Identity(**values) if go_syntax.parse_url(values["site_url"]).host else None


def _is_switch(word: str) -> bool:
    """Tell Chromium switches from other words. A bare `--` would end the switches, so it is none."""
    return len(word) > 2 and word.startswith("--") and word[2] != "="


def _read(row: Row, environment: Mapping[str, str]) -> Any:
    raw = environment.get(row.variable, "")
    try:
        return row.kind.read(raw)
    except ValueError as error:
        shown = row.kind.shown(raw)
        raise _refused(row, f"failed to parse {row.name}: {error}", shown, environment) from error


def _refused(row: Row, refusal: str, shown: str, environment: Mapping[str, str]) -> SettingsError:
    text = f"{refusal}: {row.variable} is {shown}, allowed are {row.kind.limits}"
    token = environment.get("AUTH_TOKEN", "")
    if len(token) >= SHORTEST_MASKED_TOKEN:  # pasted into another variable by mistake
        text = text.replace(token, "***")
    return SettingsError(f"The recorder's setting {row.variable} is not valid.", detail=text, variable=row.variable)


def _origin(site_url: str) -> str:
    url = go_syntax.parse_url(site_url)
    host, port = url.host.lower(), ""
    if match := re.fullmatch(r"(.*):([0-9]*)", host):
        host, port = match.group(1), match.group(2).lstrip("0")
    if not host.isascii():
        with contextlib.suppress(UnicodeError):  # no browser would open it either; the navigation says so
            host = host.encode("idna").decode()
    return f"{url.scheme}://{host}" + (f":{port}" if port not in ("", DEFAULT_PORTS[url.scheme]) else "")
