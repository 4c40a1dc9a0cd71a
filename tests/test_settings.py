"""The environment: every variable, its limits from both sides, the order and the words of refusals (contract 1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.environment import ID, JOB, TOKEN
from recorder_fsm.config.kinds import Number
from recorder_fsm.config.settings import (
    MIB,
    TABLE,
    Settings,
    docs_url_of,
    markdown_table,
    usable_hooks,
    usable_identity,
)
from recorder_fsm.errors import SettingsError

NUMBERS = [
    ("WIDTH", "Width", "width", 1280, 1920, 3840),
    ("HEIGHT", "Height", "height", 720, 1080, 2160),
    ("VIDEO_RATE", "VideoRate", "video_rate_kbps", 500, 1500, 10000),
    ("AUDIO_RATE", "AudioRate", "audio_rate_kbps", 32, 64, 320),
    ("FRAME_RATE", "FrameRate", "frame_rate", 10, 30, 60),
    ("MAX_DURATION_SECONDS", "MaxDurationSeconds", "max_duration_s", 10, None, 86400),
    ("STOP_GRACE_SECONDS", "StopGraceSeconds", "stop_grace_s", 10, 300, 3600),
    ("MIN_FREE_BYTES", "MinFreeBytes", "min_free_bytes", MIB, 16 * MIB, 1024 * 1024 * MIB),
]
IDENTIFIERS = [
    ("CALL_ID", "CallID"),
    ("POST_ID", "PostID"),
    ("RECORDING_ID", "RecordingID"),
    ("AUTH_TOKEN", "AuthToken"),
]
CONTRACT_ORDER = [
    "SITE_URL", "CALL_ID", "POST_ID", "RECORDING_ID", "AUTH_TOKEN", "WIDTH", "HEIGHT", "VIDEO_RATE",
    "AUDIO_RATE", "FRAME_RATE", "OUTPUT_FORMAT", "VIDEO_PRESET",
]  # fmt: skip


def read(**changes: str) -> Settings:
    return Settings.from_environment({**JOB, **changes})


def refusal(**changes: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**changes)
    text = str(caught.value)
    assert "\n" not in text
    assert text == caught.value.detail
    assert caught.value.variable in text
    return text


def test_required_variables_alone_give_the_original_defaults() -> None:
    """The five required variables are enough, and all others get the contract's defaults."""
    settings = read()
    assert settings.site_url == "https://chat.example.com"
    assert settings.origin == "https://chat.example.com"
    assert (settings.call_id, settings.auth_token) == (ID, TOKEN)
    assert settings.video_preset == "fast"
    assert settings.data_dir == Path("/data")
    assert settings.job_dir == Path("/data") / JOB["RECORDING_ID"]
    assert settings.dev_mode is False
    assert settings.extra_chromium_args == settings.dropped_chromium_args == ()
    assert settings.tls_ca_cert_file is None
    assert (settings.log_format, settings.log_level) == ("text", "DEBUG")


@pytest.mark.parametrize(("variable", "name", "field", "low", "default", "high"), NUMBERS)
def test_number_is_accepted_up_to_its_limits_and_refused_beyond(
    variable: str, name: str, field: str, low: int, default: int | None, high: int
) -> None:
    """Both limits are allowed, one step further is not, and the text says so in the original's words."""
    for value in (low, high):
        assert getattr(read(**{variable: str(value)}), field) == value
        assert getattr(read(**{variable: f"+{value}"}), field) == value
        assert getattr(read(**{variable: f"000{value}"}), field) == value
    for value in (low - 1, high + 1, -low):
        text = refusal(**{variable: str(value)})
        assert text.startswith(f"invalid config: {name} value is not valid: {variable} is {value}, allowed are ")
        assert f"{low} to {high}" in text


@pytest.mark.parametrize(("variable", "name", "field", "low", "default", "high"), NUMBERS)
@pytest.mark.parametrize("raw", ["", "0", "+0", "-0", "000"])
def test_number_that_is_empty_or_zero_is_the_default(
    variable: str, name: str, field: str, low: int, default: int | None, high: int, raw: str
) -> None:
    """The launcher passes 0 for an unset number, so 0 means the default in every spelling."""
    assert getattr(read(**{variable: raw}), field) == default


@pytest.mark.parametrize(("variable", "name", "field", "low", "default", "high"), NUMBERS)
def test_number_with_bad_syntax_is_refused_in_go_words(
    variable: str, name: str, field: str, low: int, default: int | None, high: int
) -> None:
    """A value that Go cannot parse gives Go's text before ours."""
    text = refusal(**{variable: "12x"})
    assert text.startswith(f'failed to parse {name}: strconv.ParseInt: parsing "12x": invalid syntax: {variable} ')
    text = refusal(**{variable: "9" * 30})
    assert f'parsing "{"9" * 30}": value out of range' in text


@pytest.mark.parametrize("raw", ["1_920", " 1920", "1920 ", "1920\n", "1920.0", "0x780", "\u0661\u0669", "+", "--1"])
def test_number_that_only_python_would_accept_is_refused(raw: str) -> None:
    """Blanks, underscores, other digits and prefixes are bad syntax, as in Go."""
    assert refusal(WIDTH=raw).startswith("failed to parse Width: strconv.ParseInt: parsing ")


@pytest.mark.parametrize(("raw", "what"), [("2147483648", "out of range"), ("2147483647", "not valid")])
def test_number_limit_is_that_of_int32(raw: str, what: str) -> None:
    """A number beyond 32 bits fails in parsing, one within them in checking."""
    assert what in refusal(WIDTH=raw)


@pytest.mark.parametrize(("variable", "name"), IDENTIFIERS)
def test_identifier_is_26_of_lower_case_and_digits(variable: str, name: str) -> None:
    """An id is refused when it is empty, of another length, of other characters, or followed by a newline."""
    assert refusal(**{variable: ""}).startswith(f"invalid config: {name} cannot be empty: {variable} is empty")
    for bad in (ID[:25], ID + "a", ID.upper(), ID[:25] + "_", ID + "\n", ID[:25] + "\u00e9"):
        text = refusal(**{variable: bad})
        assert text.startswith(f"invalid config: {name} parsing failed: {variable} is ")
        assert text.endswith("allowed are exactly 26 of a-z and 0-9")


@pytest.mark.parametrize("missing", list(JOB))
def test_required_variable_that_is_missing_is_named(missing: str) -> None:
    """Without a required variable there are no settings, and the text names it."""
    with pytest.raises(SettingsError, match="cannot be empty") as caught:
        Settings.from_environment({key: value for key, value in JOB.items() if key != missing})
    assert caught.value.variable == missing


def test_token_is_never_shown() -> None:
    """A bad token, or a token pasted into another variable, is in no text; nor is it in the settings' repr."""
    assert "SECRET" not in refusal(AUTH_TOKEN="SECRETSECRETSECRET")
    assert TOKEN not in refusal(CALL_ID=TOKEN + "x")
    assert TOKEN not in refusal(WIDTH=TOKEN)
    assert TOKEN not in repr(read())
    assert TOKEN not in repr(usable_identity(JOB))


@pytest.mark.parametrize(
    ("raw", "site_url", "origin"),
    [
        ("http://h", "http://h", "http://h"),
        ("http://h/", "http://h", "http://h"),
        ("HTTPS://Chat.Example.COM:443", "HTTPS://Chat.Example.COM:443", "https://chat.example.com"),
        ("http://h:80", "http://h:80", "http://h"),
        ("http://h:8065/", "http://h:8065", "http://h:8065"),
        ("https://h:80", "https://h:80", "https://h:80"),
        ("http://h:", "http://h:", "http://h"),
        ("http://[::1]:8065", "http://[::1]:8065", "http://[::1]:8065"),
        ("http://127.1:8065", "http://127.1:8065", "http://127.0.0.1:8065"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://b\u00fccher.example", "http://b\u00fccher.example", "http://xn--bcher-kva.example"),
    ],
)
def test_site_url_loses_one_slash_and_gives_an_origin(raw: str, site_url: str, origin: str) -> None:
    """One trailing slash is trimmed; the origin is written as browsers write it."""
    settings = read(SITE_URL=raw)
    assert (settings.site_url, settings.origin) == (site_url, origin)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("", "SiteURL cannot be empty"),
        ("/", "SiteURL cannot be empty"),
        ("http://", 'SiteURL parsing failed: invalid path "/"'),
        ("http://h//", 'SiteURL parsing failed: invalid path "/"'),
        ("http://h/sub", 'SiteURL parsing failed: invalid path "/sub"'),
        ("http://h/a%20b/", 'SiteURL parsing failed: invalid path "/a b"'),
        ("ftp://h", 'SiteURL parsing failed: invalid scheme "ftp"'),
        ("h", 'SiteURL parsing failed: invalid scheme ""'),
        ("h:8065", 'SiteURL parsing failed: invalid scheme "h"'),
        ("10.0.0.1:80", 'SiteURL parsing failed: parse "10.0.0.1:80": first path segment in URL cannot contain colon'),
        ("://h", 'SiteURL parsing failed: parse "://h": missing protocol scheme'),
        ("http://h\n", 'SiteURL parsing failed: parse "http://h\\n": net/url: invalid control character in URL'),
        ("http://h h", 'SiteURL parsing failed: parse "http://h h": invalid character " " in host name'),
        ("http://h%zz", 'SiteURL parsing failed: parse "http://h%zz": invalid URL escape "%zz"'),
        ("http://h:80a", 'SiteURL parsing failed: parse "http://h:80a": invalid port ":80a" after host'),
        ("http://[::1", "SiteURL parsing failed: parse \"http://[::1\": missing ']' in host"),
        (
            "http://user:secret@h",
            "SiteURL cannot be used: it has a user or a password, which no browser sends from a page",
        ),
        ("http://h?q=secret", "SiteURL cannot be used: it has a query (?...), which leads to no other server"),
        ("http://h/?q=secret", 'SiteURL parsing failed: invalid path "/"'),
        ("http://h#secret", "SiteURL cannot be used: it has a fragment (#...), which leads to no other server"),
        ("http://1.2.3.4.5", 'SiteURL cannot be used: no browser opens the host "1.2.3.4.5"'),
        ("https:///", "SiteURL cannot be used: it has no host"),
        ("http:h", "SiteURL cannot be used: it has no host"),
        ("http://h:65536", "SiteURL cannot be used: port 65536 is not possible"),
    ],
)
def test_site_url_that_is_refused_gives_the_original_text(raw: str, text: str) -> None:
    """Bad addresses are refused with the texts that Go and the original give."""
    assert refusal(SITE_URL=raw).startswith(f"invalid config: {text}: SITE_URL is ")


def test_site_url_password_is_not_shown() -> None:
    """A password inside a bad address does not reach the log."""
    assert "secret" not in refusal(SITE_URL="http://user:secret@h/sub")
    assert "secret" not in refusal(SITE_URL="http://user:secret@h:x")
    assert "secret" not in refusal(SITE_URL="http://h?access_token=secret")
    assert "secret" not in refusal(SITE_URL="http://h#secret")


@pytest.mark.parametrize("raw", ["http:", "http:h", "http://?q", "http://user:secret@h"])
def test_site_url_that_is_refused_is_no_identity(raw: str) -> None:
    """Nobody can be told of a failure there."""
    assert "secret" not in refusal(SITE_URL=raw)
    assert usable_identity({**JOB, "SITE_URL": raw}) is None


@pytest.mark.parametrize("raw", ["medium", "fast", "faster", "veryfast", "superfast", "ultrafast"])
def test_video_preset_takes_its_six_words(raw: str) -> None:
    """Every preset of the contract is accepted."""
    assert read(VIDEO_PRESET=raw).video_preset == raw


def test_words_are_case_sensitive_where_the_original_is() -> None:
    """Presets and formats in another case, and presets that only ffmpeg knows, are refused."""
    for bad in ("Fast", "slow", "fast "):
        assert refusal(VIDEO_PRESET=bad).startswith(
            f'invalid config: VideoPreset value is not valid: VIDEO_PRESET is "{bad}", allowed are medium fast '
        )
    assert refusal(OUTPUT_FORMAT="MP4").startswith("invalid config: OutputFormat value is not valid: ")
    assert read(VIDEO_PRESET="", OUTPUT_FORMAT="").video_preset == "fast"


def test_log_words_take_any_case() -> None:
    """LOG_FORMAT and LOG_LEVEL are ours and forgiving in case, not in spelling."""
    settings = read(LOG_FORMAT="JSON", LOG_LEVEL="warning")
    assert (settings.log_format, settings.log_level) == ("json", "WARNING")
    assert 'LOG_LEVEL is "LOUD", allowed are DEBUG INFO WARNING ERROR' in refusal(LOG_LEVEL="LOUD")
    assert "allowed are text json" in refusal(LOG_FORMAT="xml")


@pytest.mark.parametrize(("raw", "on"), [("true", True), ("True", False), ("1", False), ("", False), ("true ", False)])
def test_dev_mode_is_only_the_exact_text(raw: str, on: bool) -> None:
    """Anything but `true` leaves the sandbox on."""
    assert read(DEV_MODE=raw).dev_mode is on


def test_chromium_words_are_split_and_others_dropped() -> None:
    """Words that start with -- are kept in order; the rest is kept apart for a warning."""
    settings = read(EXTRA_CHROMIUM_ARGS=" --a=b  --c\tfoo -x --\n--=y --d ")
    assert settings.extra_chromium_args == ("--a=b", "--c", "--d")
    assert settings.dropped_chromium_args == ("foo", "-x", "--", "--=y")


def test_ca_file_must_exist(tmp_path: Path) -> None:
    """A named certificate file that is missing is refused, as the original's entrypoint does."""
    file = tmp_path / "ca.pem"
    assert "TLS_CA_CERT_FILE is" in refusal(TLS_CA_CERT_FILE=str(file))
    assert "file does not exist" in refusal(TLS_CA_CERT_FILE=str(file))
    assert "is a directory, and must be one file" in refusal(TLS_CA_CERT_FILE=str(tmp_path))
    file.touch()
    assert read(TLS_CA_CERT_FILE=str(file)).tls_ca_cert_file == file


def test_odd_sizes_are_made_even_downwards() -> None:
    """An odd frame is recorded one pixel smaller, which is still within the limits."""
    odd = read(WIDTH="1281", HEIGHT="721")
    assert (odd.width, odd.height) == (1281, 721)
    assert (odd.capture_width, odd.capture_height, odd.made_even) == (1280, 720, True)
    assert read(WIDTH="1280", HEIGHT="721").made_even
    assert not read().made_even


def test_first_bad_number_wins_before_any_check() -> None:
    """A number that does not parse is refused before an address that is empty, and in the contract's order."""
    assert "Height" in refusal(HEIGHT="x", FRAME_RATE="y", SITE_URL="")
    assert "Width" in refusal(WIDTH="x", HEIGHT="x")


def test_checks_run_in_the_contract_order() -> None:
    """Of several bad values the first in the contract's order is named."""
    bad = dict.fromkeys(CONTRACT_ORDER, "!")
    bad.update(dict.fromkeys(["WIDTH", "HEIGHT", "VIDEO_RATE", "AUDIO_RATE", "FRAME_RATE"], "1"))
    good = {**JOB, "OUTPUT_FORMAT": "mp4"}
    seen = []
    while bad:
        with pytest.raises(SettingsError) as caught:
            Settings.from_environment({**good, **bad})
        seen.append(caught.value.variable)
        del bad[caught.value.variable]
    assert seen == CONTRACT_ORDER


def test_identity_survives_other_bad_values(tmp_path: Path) -> None:
    """With a bad number or certificate file the job can still be reported as failed; without an id it cannot."""
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()
    identity = usable_identity({**JOB, "WIDTH": "x", "VIDEO_PRESET": "?", "TLS_CA_CERT_FILE": str(ca_file)})
    assert identity is not None
    assert (identity.site_url, identity.recording_id) == ("https://chat.example.com", JOB["RECORDING_ID"])
    assert (identity.auth_token, identity.tls_ca_cert_file) == (TOKEN, ca_file)
    without_file = usable_identity({**JOB, "TLS_CA_CERT_FILE": "/does/not/exist"})
    assert without_file is not None
    assert without_file.tls_ca_cert_file is None
    for variable in JOB:
        assert usable_identity({**JOB, variable: "!"}) is None


def test_table_names_every_variable_once_and_the_document_shows_them() -> None:
    """The documentation's table has one row per variable, with its default and its limits."""
    assert len({row.name for row in TABLE}) == len({row.field for row in TABLE}) == len(TABLE)
    lines = markdown_table().splitlines()
    assert len(lines) == len(TABLE) + 2
    for row, line in zip(TABLE, lines[2:], strict=True):
        assert line.startswith(f"| `{row.name}` | ")
        assert row.kind.limits in line
        if isinstance(row.kind, Number):
            assert f"| {row.kind.default} | {row.kind.low} to {row.kind.high}" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_URL", "ftp://host/secretpath"),
        ("WEBHOOK_URL", "https:///secretpath"),
        ("WEBHOOK_URL", "https://host:99999/secretpath"),
        ("WEBHOOK_URL", "https://ho st/secretpath"),
        ("WEBHOOK_SECRET", "short"),
        ("WEBHOOK_SECRET", "whsec_secretpath!"),
        ("WEBHOOK_SECRET", "whsec_c2hvcnQ="),
        ("ON_END", "finalize 'secretpath"),
        ("ON_END", "'' secretpath"),
        ("ON_END_SECONDS", "3601"),
        ("NOTIFY_FAILURES", "everybody"),
    ],
)
def test_wrong_hook_is_refused_and_not_shown(name: str, value: str) -> None:
    """A typing error is said at the start, before a meeting was recorded for nobody; what may be secret is not."""
    text = refusal(**{name: value})
    assert name in text
    assert "secretpath" not in text
    usable = {"WEBHOOK_URL": "https://host/hook", "ON_END": "finalize --to '/a b'"}
    hooks = usable_hooks({**usable, name: value})
    assert bool(hooks.webhook_url) == (name != "WEBHOOK_URL")
    assert hooks.on_end == (() if name == "ON_END" else ("finalize", "--to", "/a b"))


def test_hooks_are_off_unless_asked_for() -> None:
    """Nobody is told of a meeting who was not named."""
    assert not usable_hooks(JOB)
    settings = read()
    assert (settings.webhook_url, settings.on_end, settings.notify_failures) == ("", (), "off")


@given(st.dictionaries(st.sampled_from([row.name for row in TABLE]), st.text()))
def test_any_environment_gives_settings_or_one_line(changes: dict[str, str]) -> None:
    """Whatever the values are, there are settings or one SettingsError on one line; nothing else is raised."""
    changes.pop("TLS_CA_CERT_FILE", None)
    refused: SettingsError | None = None
    try:
        settings = Settings.from_environment({**JOB, **changes})
    except SettingsError as error:
        refused = error
    if refused is not None:
        assert len(str(refused).splitlines()) == 1
        assert refused.variable in changes
    else:
        assert settings.origin.startswith("http")
        assert settings.capture_width % 2 == settings.capture_height % 2 == 0


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("", ""),
        ("https://docs.example.com/a/b/", "https://docs.example.com/a/b"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("docs.example.com", ""),
        ("ftp://docs.example.com", ""),
        ("https://", ""),
        ("https:///errors", ""),
        ("https:docs.example.com", ""),
        ("https://user:word@docs.example.com", ""),
        ("https://docs.example.com/?page=", ""),
        ("https://docs.example.com/#", ""),
        ("https://docs.example.com/a b", ""),
        ("https://docs.example.com/\n", ""),
        ("https://docs.example.com/<b>", ""),
        ("https://docs.example.com/%zz", ""),
        ("https://d\u00f6cs.example.com/", ""),
        ("https://docs.example.com/" + 500 * "a", ""),
    ],
)
def test_address_of_the_documents_is_fit_to_be_shown_or_left_out(raw: str, shown: str) -> None:
    """What is no address costs the address, and never a recording."""
    environment = {**JOB, "DOCS_URL": raw}
    assert Settings.from_environment(environment).docs_url == docs_url_of(environment) == shown
    assert docs_url_of({"DOCS_URL": raw}) == shown


POSTING = {"PUBLISH": "post"}
PAGE = "https://status.example.com/wall?view=1#now"


def test_plugin_publishes_unless_told_otherwise() -> None:
    """And there is no page to record."""
    settings = read()
    assert (settings.publish, settings.record_url) == ("plugin", "")
    assert read(**POSTING).publish == "post"
    assert "Publish value is not valid" in refusal(PUBLISH="bot")


def test_thread_is_optional_only_where_the_plugin_does_not_post() -> None:
    """Without one the recording is posted in the channel itself; one that is no id is refused all the same."""
    assert read(**POSTING, POST_ID="").post_id == ""
    assert "PostID cannot be empty" in refusal(POST_ID="")
    assert "PostID parsing failed" in refusal(**POSTING, POST_ID="!")
    for required in ("CALL_ID", "RECORDING_ID", "AUTH_TOKEN", "SITE_URL"):
        assert "cannot be empty" in refusal(**POSTING, **{required: ""})


@pytest.mark.parametrize("url", [PAGE, "http://127.0.0.1:8000", "HTTPS://Example.com/%zz", "http://[::1]/#/a/b"])
def test_page_is_taken_as_it_is(url: str) -> None:
    """Path, query and fragment are the page's own."""
    assert read(**POSTING, RECORD_URL=url).record_url == url
    assert url not in repr(read(**POSTING, RECORD_URL=url))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/passwd", 'invalid scheme "file"'),
        ("chrome://settings", 'invalid scheme "chrome"'),
        ("data:text/html,x", 'invalid scheme "data"'),
        ("javascript:alert(1)", 'invalid scheme "javascript"'),
        ("view-source:https://host/", 'invalid scheme "view-source"'),
        ("status.example.com", "invalid scheme"),
        ("https:status.example.com", "it has no host"),
        ("https://", "it has no host"),
        ("https://user:secretword@host/", "it has a user or a password"),
        ("https://host:99999/", "port"),
        ("https://host/a b", "blanks"),
        ("https://host/\n", "control characters"),
        (f"https://host/?token={TOKEN}", "the token is in it"),
    ],
)
def test_page_that_cannot_be_recorded_is_refused(url: str, why: str) -> None:
    """With words that repeat neither a password nor a query."""
    words = refusal(**POSTING, RECORD_URL=url)
    assert "RecordURL cannot be used" in words
    assert why in words
    assert "secretword" not in words
    assert TOKEN not in words


def test_page_needs_the_other_way_to_post() -> None:
    """The plugin would post nothing that is no call's."""
    words = refusal(RECORD_URL=PAGE)
    assert "RecordURL needs PUBLISH=post" in words
    assert "view=1" not in words


def test_job_without_a_call_has_no_plugin_to_be_told() -> None:
    """Whatever else is wrong with its settings."""
    assert usable_identity({**JOB, **POSTING, "RECORD_URL": PAGE, "WIDTH": "x"}) is None
    assert usable_identity({**JOB, **POSTING, "WIDTH": "x"}) is not None
