"""The job's settings: every environment variable with its default, limits and meaning, and how they are read.

Owns `TABLE`, from which the settings are read and the documentation is made; `kinds` has the kinds of values in it.
The order of reading is the original's (contract 1.2): first all numbers are parsed, then defaults are filled in, then
values are checked. Its first refusal comes first here, too, and all others after it. Nothing here reads the process's
own environment: the caller hands a mapping in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from recorder_fsm.config.address import site_address
from recorder_fsm.config.kinds import (
    Choice,
    CommandLine,
    File,
    Identifier,
    Key,
    Link,
    Listen,
    Number,
    Page,
    Receiver,
    Site,
    Text,
)
from recorder_fsm.config.listen_address import ListenAddress
from recorder_fsm.errors import SettingsError
from recorder_fsm.plain_text import hide, keep_secret

MIB = 1024 * 1024
WEBHOOK = "webhook"
"""The kind of its secret, for `plain_text.keep_secret`."""


@attrs.frozen
class Variable:
    """One environment variable: the attribute it fills, its name in the original's messages, its kind."""

    name: str
    field: str
    original_name: str
    kind: Text
    meaning: str


def _number(low: int, value: int, high: int, unit: str = "", bits: int = 32) -> Number:
    allowed = f"{low} to {high}" + (f" {unit}" if unit else "")
    return Number(default=str(value or "none"), limits=allowed, low=low, high=high, value=value, bits=bits)


def _choice(default: str, *words: str, fold: bool = False) -> Choice:
    return Choice(default=default, limits=" ".join(words), words=words, fold=fold)


IDENTIFIER = Identifier(limits="exactly 26 of a-z and 0-9")
TOKEN = attrs.evolve(IDENTIFIER, secret=True)
SITE = Site(limits="http or https, a host, no path, user, query or fragment")
CA_FILE = File(limits="an existing file, PEM")
LISTEN = Listen(limits="HOST:PORT, :PORT (of the loopback), [IPv6]:PORT; port 0 is any free one")
SWITCHES = Text(limits="words that start with --")
FLAG = Text("false", "only the exact text true counts")
PRESETS = ("medium", "fast", "faster", "veryfast", "superfast", "ultrafast")  # slowest first
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# In the order in which values are checked. Numbers are parsed in the same order, before any check.
TABLE: tuple[Variable, ...] = (
    Variable("SITE_URL", "site_url", "SiteURL", SITE, "Address of the Mattermost server."),
    Variable("CALL_ID", "call_id", "CallID", IDENTIFIER, "Channel of the call, and of the recording."),
    Variable("POST_ID", "post_id", "PostID", IDENTIFIER,
        "Post that opened the call. With `PUBLISH=post` the first post of any thread in the channel, or empty: then "
        "the recording is posted in the channel itself."),
    Variable("RECORDING_ID", "recording_id", "RecordingID", IDENTIFIER, "This job; names its directory."),
    Variable("AUTH_TOKEN", "auth_token", "AuthToken", TOKEN,
        "Session token of the Calls bot; with RECORD_URL a bot's or a user's access token. Never shown."),
    Variable("WIDTH", "width", "Width", _number(1280, 1920, 3840, "pixels"),
        "Width of the video; an odd one is made even, downwards."),
    Variable("HEIGHT", "height", "Height", _number(720, 1080, 2160, "pixels"),
        "Height of the video; an odd one is made even, downwards."),
    Variable("VIDEO_RATE", "video_rate_kbps", "VideoRate", _number(500, 1500, 10000, "kbit/s"),
        "Highest bit rate of the video, over any ten seconds."),
    Variable("AUDIO_RATE", "audio_rate_kbps", "AudioRate", _number(32, 64, 320, "kbit/s"),
        "Bit rate of the audio."),
    Variable("FRAME_RATE", "frame_rate", "FrameRate", _number(10, 30, 60, "frames/s"), "Frames per second."),
    Variable("OUTPUT_FORMAT", "output_format", "OutputFormat", _choice("mp4", "mp4"), "Container of the file."),
    Variable("VIDEO_PRESET", "video_preset", "VideoPreset", _choice("fast", *PRESETS),
        "The encoder's trade of work against size."),
    Variable("DATA_DIR", "data_dir", "DataDir", Text("/data", "a path"), "Holds one directory per job."),
    Variable("DEV_MODE", "dev_mode", "DevMode", FLAG,
        "Development: servers on development hosts; as root, Chromium without its sandbox."),
    Variable("EXTRA_CHROMIUM_ARGS", "extra_chromium_args", "ExtraChromiumArgs", SWITCHES,
        "More switches for Chromium; other words, and switches that cannot record, are dropped with a warning."),
    Variable("TLS_CA_CERT_FILE", "tls_ca_cert_file", "TLSCACertFile", CA_FILE,
        "Certificate authority to trust beside the system's."),
    Variable("FRAME_TIMING", "frame_timing", "FrameTiming", _choice("variable", "variable", "constant"),
        "Whether an unchanged frame is left out (cheaper) or written again at the frame rate."),
    Variable("LOG_FORMAT", "log_format", "LogFormat", _choice("text", "text", "json", fold=True),
        "Lines for people or for machines."),
    Variable("LOG_LEVEL", "log_level", "LogLevel", _choice("DEBUG", *LEVELS, fold=True),
        "Least severe line that is written."),
    Variable("MAX_DURATION_SECONDS", "max_duration_s", "MaxDurationSeconds", _number(10, 0, 86400, "s"),
        "The recording ends by itself after this time."),
    Variable("STOP_GRACE_SECONDS", "stop_grace_s", "StopGraceSeconds", _number(10, 300, 3600, "s"),
        "Time between SIGTERM and the launcher's SIGKILL."),
    Variable("MIN_FREE_BYTES", "min_free_bytes", "MinFreeBytes",
        _number(MIB, 16 * MIB, MIB * MIB, "bytes", bits=64),
        "With less free space the recording is ended and saved, and none is begun."),
    Variable("DOCS_URL", "docs_url", "DocsURL", Link(limits="http or https; another text is left out"),
        "Where you host this documentation: a failure then names its page there."),
    Variable("WEBHOOK_URL", "webhook_url", "WebhookURL", Receiver(limits="http or https, a host"),
        "A server that gets a JSON message when a job ends. Never shown."),
    Variable("WEBHOOK_SECRET", "webhook_secret", "WebhookSecret",
        Key(limits="16 characters or more, or whsec_ and base64"),
        "Signs that message, as Standard Webhooks. Never shown."),
    Variable("ON_END", "on_end", "OnEnd", CommandLine(limits="a command line; no shell runs it"),
        "Runs when a job ends, with the same JSON on its standard input. The recording is still there."),
    Variable("ON_END_SECONDS", "on_end_s", "OnEndSeconds", _number(1, 60, 3600, "s"),
        "ON_END is killed after this time."),
    Variable("NOTIFY_FAILURES", "notify_failures", "NotifyFailures", _choice("off", "off", "thread", fold=True),
        "Whether the call's thread also gets a post when a recording failed."),
    Variable("STATUS_ADDR", "status_addr", "StatusAddr", LISTEN,
        "Where a live page, `/metrics` and `/healthz` are served while the job runs; empty: nowhere."),
    Variable("TIMELINE", "timeline", "Timeline", _choice("off", "off", "chapters", "files", fold=True),
        "Who spoke when, by name: as chapters of the file; `files` also keeps it beside the report."),
    Variable("PUBLISH", "publish", "Publish", _choice("plugin", "plugin", "post"),
        "Who posts the recording: the Calls plugin, or the user of AUTH_TOKEN by Mattermost's own API."),
    Variable("RECORD_URL", "record_url", "RecordURL",
        Page("", "http or https, a host, no user or password; only with PUBLISH=post"),
        "Page to record in place of a call."),
)  # fmt: skip


def markdown_table() -> str:
    """Return `TABLE` as a Markdown table for the documentation."""
    lines = ["| Variable | Default | Allowed | Meaning |", "|---|---|---|---|"]
    for variable in TABLE:
        default = variable.kind.default or ("required" if isinstance(variable.kind, Site | Identifier) else "none")
        lines.append(f"| `{variable.name}` | {default} | {variable.kind.limits} | {variable.meaning} |")
    return "\n".join(lines) + "\n"


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
    docs_url: str
    webhook_url: str = attrs.field(repr=False)
    webhook_secret: str = attrs.field(repr=False)
    on_end: tuple[str, ...] = attrs.field(repr=False)
    on_end_s: int
    notify_failures: str
    status_addr: ListenAddress | None
    timeline: str
    publish: str
    record_url: str = attrs.field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read all variables of `TABLE`; raises `SettingsError` for those that are wrong, in order (contract 1.2)."""
        keep_secret(environment.get("AUTH_TOKEN", ""))
        keep_secret(environment.get("WEBHOOK_SECRET", ""), WEBHOOK)
        values: dict[str, Any] = {}
        wrong: list[SettingsError] = []
        for variable in TABLE:
            try:
                values[variable.field] = _read(variable, environment)
            except SettingsError as error:
                wrong.append(error)
        for variable in TABLE:
            if variable.field in values and (refusal := refused_value(variable, values)):
                shown = variable.kind.shown(values[variable.field])
                wrong.append(_refused(variable, f"invalid config: {variable.original_name} {refusal}", shown))
        if wrong:
            raise SettingsError.together(wrong)
        words = str(values["extra_chromium_args"]).split()
        values["extra_chromium_args"] = tuple(filter(_is_switch, words))
        values["dropped_chromium_args"] = tuple(word for word in words if not _is_switch(word))
        del values["output_format"]  # there is one, so nobody asks
        values["dev_mode"] = values["dev_mode"] == "true"
        values["max_duration_s"] = values["max_duration_s"] or None
        return cls(**values)

    @property
    def origin(self) -> str:
        """The site's origin as a browser writes it."""
        return site_address(self.site_url).origin

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
    """Return who we are if address, ids and token are all valid, else None; also where there is no call to be told."""
    if environment.get("RECORD_URL"):
        return None
    variables = {variable.field: variable for variable in TABLE if isinstance(variable.kind, Site | Identifier | File)}
    values = {field: _read(variable, environment) for field, variable in variables.items()}
    if variables["tls_ca_cert_file"].kind.refusal(values["tls_ca_cert_file"]):
        values["tls_ca_cert_file"] = None
    if any(variable.kind.refusal(values[field]) for field, variable in variables.items()):
        return None
    return Identity(**values)


def docs_url_of(environment: Mapping[str, str]) -> str:
    """Return where the documentation is hosted, "" for nowhere; also for an environment that is wrong otherwise."""
    return next(str(_read(variable, environment)) for variable in TABLE if variable.field == "docs_url")


@attrs.frozen
class Hooks:
    """What a job does when it ends; an empty one is switched off. Times in seconds."""

    webhook_url: str = attrs.field(default="", repr=False)
    webhook_secret: str = attrs.field(default="", repr=False)
    on_end: tuple[str, ...] = attrs.field(default=(), repr=False)
    on_end_s: int = 60
    notify_failures: str = "off"
    tls_ca_cert_file: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.webhook_url or self.on_end)


def usable_hooks(environment: Mapping[str, str]) -> Hooks:
    """Return the hooks that an environment describes, without those that it describes wrongly."""
    values: dict[str, Any] = {}
    for variable in TABLE:
        if variable.field in attrs.fields_dict(Hooks):
            with contextlib.suppress(SettingsError):
                value = _read(variable, environment)
                values |= {} if variable.kind.refusal(value) else {variable.field: value}
    keep_secret(values.get("webhook_secret", ""), WEBHOOK)
    return Hooks(**values)


def refused_value(variable: Variable, values: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, also beside the others."""
    value, posts = values[variable.field], values.get("publish") == "post"
    if variable.field == "post_id" and not value and posts:
        return ""
    refusal = variable.kind.refusal(value)
    if variable.field != "record_url" or not value or refusal:
        return refusal
    if not posts:
        return "needs PUBLISH=post: the Calls plugin posts recordings of calls alone"
    if hide(value) != value:
        return "cannot be used: the token is in it, and must not be told to a page"
    return ""


def _is_switch(word: str) -> bool:
    """Tell Chromium switches from other words. A bare `--` would end the switches, so it is none."""
    return len(word) > 2 and word.startswith("--") and word[2] != "="


def _read(variable: Variable, environment: Mapping[str, str]) -> Any:
    raw = environment.get(variable.name, "")
    try:
        return variable.kind.read(raw)
    except ValueError as error:
        shown = variable.kind.shown(raw)
        raise _refused(variable, f"failed to parse {variable.original_name}: {error}", shown) from error


def _refused(variable: Variable, refusal: str, shown: str) -> SettingsError:
    text = f"{refusal}: {variable.name} is {shown}, allowed are {variable.kind.limits}"
    return SettingsError(f"The recorder's setting {variable.name} is not valid.", detail=text, variable=variable.name)
