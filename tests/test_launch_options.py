"""Chromium's switches, its address, its environment, and what people are told when it does not start."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from recorder_fsm.browser.launch_options import (
    FEATURES_OFF,
    FEATURES_ON,
    CallPageAddress,
    child_environment,
    chromium_args,
    insecure_origins,
    launch_failure,
    private_environment,
    proxy_switches,
)
from recorder_fsm.system.last_words import LastWords

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"
ADDRESS = CallPageAddress(
    origin="https://chat.example.com:8443",
    call_id="callcallcallcallcallcallca",
    recording_id="jobjobjobjobjobjobjobjobjo",
    token=TOKEN,
)


def switches(*, extra: tuple[str, ...] = (), origins: tuple[str, ...] = ()) -> dict[str, str | None]:
    """Return the switches by name."""
    args = chromium_args(width=1280, height=720, secure_anyway=origins, extra=extra)
    pairs = [arg.partition("=") for arg in args]
    return {name: value if separator else None for name, separator, value in pairs}


def test_address_is_that_of_the_contract() -> None:
    """Path, query and fragment as the page reads them: URL-safe base64, with padding, of compact JSON (3.1)."""
    address = urlsplit(ADDRESS.url)
    assert address.path == "/plugins/com.mattermost.calls/standalone/recording.html"
    assert parse_qs(address.query) == {
        "call_id": ["callcallcallcallcallcallca"],
        "job_id": ["jobjobjobjobjobjobjobjobjo"],
    }
    assert address.netloc == "chat.example.com:8443"
    assert base64.urlsafe_b64decode(address.fragment) == b'{"token":"%s"}' % TOKEN.encode()
    assert len(address.fragment) % 4 == 0
    # As the page does it: `_` and `-` back to `/` and `+`, atob, JSON.parse.
    assert json.loads(base64.b64decode(address.fragment.replace("_", "/").replace("-", "+"))) == {"token": TOKEN}


def test_address_for_the_log_has_no_token() -> None:
    """Neither in it nor in the object's own text."""
    assert ADDRESS.url.startswith(f"{ADDRESS.without_token}#")
    assert "#" not in ADDRESS.without_token
    assert TOKEN not in repr(ADDRESS)


def test_window_is_exactly_the_frame() -> None:
    """No frame, no bar, no scaling, at the corner of the screen."""
    assert (
        switches()
        | {
            "--kiosk": None,
            "--window-size": "1280,720",
            "--window-position": "0,0",
            "--force-device-scale-factor": "1",
        }
        == switches()
    )


@pytest.mark.parametrize(
    "name",
    ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--disable-breakpad", "--noerrdialogs"],
)
def test_switch_that_the_call_needs_is_there(name: str) -> None:
    """A microphone that is not there, a question nobody answers, a dump with the token."""
    assert switches()[name] is None


def test_sandbox_is_never_switched_off_by_us() -> None:
    """Whether Chromium has one is Playwright's option, and the image's business."""
    assert not {"--no-sandbox", "--disable-setuid-sandbox", "--disable-web-security"} & set(switches())


def test_extra_switch_replaces_ours_of_its_name() -> None:
    """With and without a value, the last one wins, and values may hold `=` (contract 1.1)."""
    found = switches(
        extra=("--kiosk=no", "--disable-gpu=x", "--new", "--proxy=a=b", "--proxy=c=d", "--password-store=")
    )
    assert found["--kiosk"] == "no"
    assert found["--disable-gpu"] == "x"
    assert found["--new"] is None
    assert found["--proxy"] == "c=d"
    assert found["--password-store"] == ""


@pytest.mark.parametrize(
    ("pixel", "size"),
    [("2", "640,360"), ("1.5", "854,480"), ("1.25", "1024,576"), ("0.75", "1707,960"), ("1", "1280,720")],
)
def test_enlarged_page_still_fills_the_picture(pixel: str, size: str) -> None:
    """Chromium counts its window's size in pixels of the page; a part of one is rounded up: no edge is black."""
    assert switches(extra=(f"--force-device-scale-factor={pixel}",))["--window-size"] == size


@pytest.mark.parametrize(("name", "ours"), [("--disable-features", FEATURES_OFF), ("--enable-features", FEATURES_ON)])
def test_features_from_outside_are_joined_to_ours(name: str, ours: tuple[str, ...]) -> None:
    """Chromium takes the last such switch alone: what ours is for must not be lost with it."""
    assert switches()[name] == ",".join(ours)
    found = switches(extra=(f"{name}=Vulkan,Other", f"{name}=Third"))
    assert str(found[name]).split(",") == [*ours, "Vulkan", "Other", "Third"]
    assert switches(extra=(name, f"{name}="))[name] == ",".join(ours)


def test_origins_from_outside_are_joined_to_ours() -> None:
    """A site on http gets no microphone without ours."""
    name = "--unsafely-treat-insecure-origin-as-secure"
    assert switches(extra=(f"{name}=http://b",), origins=("http://a",))[name] == "http://a,http://b"
    assert switches(extra=(f"{name}=http://b",))[name] == "http://b"


def test_switch_is_set_once() -> None:
    """With and without switches from outside: Chromium would take the last one, and nobody would know which."""
    extra = ("--kiosk", "--disable-features=A", "--disable-features=B", "--disable-gpu", "--new", "--new=1")
    for more in ((), extra):
        names = [arg.partition("=")[0] for arg in chromium_args(width=9, height=9, secure_anyway=["x"], extra=more)]
        assert sorted(set(names)) == sorted(names)
        assert all(name.startswith("--") for name in names)


def test_http_site_counts_as_secure_and_https_needs_nothing() -> None:
    """The page needs a secure context for its microphone."""
    assert insecure_origins("http://mm:8065", dev_mode=False) == ["http://mm:8065"]
    assert insecure_origins("https://mm", dev_mode=False) == []
    name = "--unsafely-treat-insecure-origin-as-secure"
    assert switches(origins=("http://a", "http://b:1"))[name] == "http://a,http://b:1"
    assert name not in switches()


def test_development_mode_adds_the_four_hosts_of_the_contract() -> None:
    """On port 8065, beside the site's own origin."""
    assert insecure_origins("http://x", dev_mode=True) == [
        "http://x",
        "http://172.17.0.1:8065",
        "http://host.docker.internal:8065",
        "http://mm-server:8065",
        "http://host.minikube.internal:8065",
    ]


def test_environment_of_children_has_no_variable_of_the_job() -> None:
    """Only what is named passes: paths, language, time zone, certificates. A proxy may have a password."""
    ours = {
        "AUTH_TOKEN": TOKEN, "SITE_URL": "x", "RECORDING_ID": "x", "CALL_ID": "x", "POST_ID": "x", "DATA_DIR": "x",
        "HOME": "/root", "LD_PRELOAD": "x", "DISPLAY": ":0", "PULSE_SERVER": "x", "DBUS_SESSION_BUS_ADDRESS": "x",
        "NODE_OPTIONS": "x", "SSH_AUTH_SOCK": "x", "GITHUB_TOKEN": TOKEN, "XDG_RUNTIME_DIR": "x",
        "HTTPS_PROXY": "http://me:secret@p", "https_proxy": "p", "NO_PROXY": "x",
    }  # fmt: skip
    passing = {
        "PATH": "/bin", "TZ": "UTC", "LANG": "C", "LC_ALL": "C", "SSL_CERT_FILE": "c",
    }  # fmt: skip
    assert child_environment({**ours, **passing}) == passing


def test_program_writes_into_the_runtime_directory_alone() -> None:
    """Home, caches and temporary files go when the job goes; nobody's own are asked for."""
    runtime = Path("/run/job")
    env = private_environment(runtime)
    for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        assert Path(env[name]).is_relative_to(runtime), name
    assert env["DBUS_SESSION_BUS_ADDRESS"] == "disabled:"


def test_proxies_of_the_environment_become_switches() -> None:
    """Small letters go before capitals, ALL_PROXY stands for what is missing, a password stays out of the switches."""
    environment = {"http_proxy": "http://user:secret@small:1/", "HTTP_PROXY": "http://capital:2", "ALL_PROXY": "all:3"}
    assert proxy_switches(environment) == ["--proxy-server=http=http://small:1;https=http://all:3"]
    assert proxy_switches({"HTTPS_PROXY": "socks5h://s:4"}) == ["--proxy-server=https=socks5://s:4"]
    assert proxy_switches({"NO_PROXY": "x", "PATH": "/bin"}) == []


@pytest.mark.parametrize(
    ("no_proxy", "rules"),
    [
        ("example.com", "example.com;*.example.com"),
        (".example.com, *.other.org", "example.com;*.example.com;other.org;*.other.org"),
        ("*", "*"),
        ("10.0.0.0/8,10.1.2.3,::1", "10.0.0.0/8;10.1.2.3;[::1]"),
        (" , ", None),
    ],
)
def test_hosts_without_a_proxy_become_a_switch(no_proxy: str, rules: str | None) -> None:
    """A host stands for its subdomains too, as for the HTTP client; addresses and networks for themselves."""
    found = proxy_switches({"http_proxy": "p:1", "no_proxy": no_proxy})
    assert found[1:] == ([f"--proxy-bypass-list={rules}"] if rules else [])


REFUSED = [
    "[33:33:1122/161633.000000:ERROR:content/browser/zygote_host/zygote_host_impl_linux.cc:130] "
    "No usable sandbox! If this is a Debian system, please install the chromium-sandbox package",
    "[33:33:1122/161633.000001:ERROR:last] and a line behind it",
]
"""What Chromium prints under Docker's default seccomp profile."""


def test_refused_sandbox_names_its_cures_in_one_line() -> None:
    """Wherever the words stand, the cause is found, and the cures are all named."""
    error = launch_failure(LastWords(REFUSED), "ended with code 1 while starting")
    assert error.code == "sandbox_refused"
    assert "\n" not in str(error)
    for cure in ("seccomp=deploy/seccomp.json", "seccompProfile", "unprivileged_userns_clone", "apparmor_restrict"):
        assert cure in error.detail
    assert "and a line behind it" in error.detail


@pytest.mark.parametrize("words", ["Failed to move to new namespace: PID", "Check failed: sandbox/credentials.cc:131"])
def test_sandbox_that_fails_in_another_way_is_known_too(words: str) -> None:
    """Chromium has more than one way to say it; which one depends on what the kernel refuses."""
    assert launch_failure(LastWords([words]), "ended with code 1").code == "sandbox_refused"


def test_other_failures_say_what_chromium_said() -> None:
    """The last of the browser's own words are the cause; there are not too many of them."""
    error = launch_failure(LastWords([*(200 * ["noise"]), "Missing X server or $DISPLAY"]), "ended with code 1")
    assert error.code == "browser"
    assert error.detail.startswith("Chromium did not start: ")
    assert error.detail.endswith("noise | Missing X server or $DISPLAY")
    assert len(error.detail) < 1000
