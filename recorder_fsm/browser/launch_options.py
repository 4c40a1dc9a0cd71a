"""The command line and the environment of Chromium. Pure functions: nothing is started here."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlencode

import attrs

from recorder_fsm.browser import questions
from recorder_fsm.browser.extra_switches import SCALE, scale
from recorder_fsm.errors import BrowserError
from recorder_fsm.system.last_words import LastWords

PAGE_PATH = "/plugins/com.mattermost.calls/standalone/recording.html"
DEVELOPMENT_HOSTS = ("172.17.0.1", "host.docker.internal", "mm-server", "host.minikube.internal")
DEVELOPMENT_PORT = 8065
CACHE_BYTES = 8 * 2**20

FEATURES_OFF = (
    "HttpsUpgrades",  # a site on http is loaded by http, without a try of https first
    "HttpsFirstBalancedModeAutoEnable",
    "MediaRouter",  # looks for Cast devices on the network
    "AvoidCorsURLLoaderRestartOnRedirect",  # from 155 on it aborts redirects while requests are intercepted
    # The address bar's list, which nobody sees here, is a page of its own: 59 MB and 0.8 s of CPU at the start.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    # Traffic to Google at the start:
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
)
FEATURES_ON = (
    "SkipListAccountsWithoutGaiaCookies",  # no traffic to accounts.google.com
    "SuppressDifferentOriginSubframeJSDialogs",  # no alert of a frame in another process, without our hook
)
SECURE_ANYWAY = "--unsafely-treat-insecure-origin-as-secure"
JOINED = ("--disable-features", "--enable-features", SECURE_ANYWAY)
"""Of several of these Chromium takes the last alone: one from outside is joined to ours."""

# What a program may see of our own environment: where programs are, how to write dates and names. Not among them are
# the variables of the job, above all the token, and proxies, which may have a password: Chromium has a switch for them.
PASSED_ON = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"})


@attrs.frozen
class CallPageAddress:
    """Where the recording page of one call is. The token travels in the fragment, which never leaves the browser."""

    origin: str
    call_id: str
    recording_id: str
    token: str = attrs.field(repr=False)

    @property
    def without_token(self) -> str:
        query = urlencode({"call_id": self.call_id, "job_id": self.recording_id})
        return f"{self.origin}{PAGE_PATH}?{query}"

    @property
    def url(self) -> str:
        """The whole address (contract 3.1): URL-safe base64, with padding, of a JSON object."""
        fragment = json.dumps({"token": self.token}, separators=(",", ":")).encode()
        return f"{self.without_token}#{base64.urlsafe_b64encode(fragment).decode()}"


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a child may inherit of `environment`."""
    return {name: value for name, value in environment.items() if name in PASSED_ON or name.startswith("LC_")}


def private_environment(runtime: Path) -> dict[str, str]:
    """Return what makes a program write all that it writes to the runtime directory of the job.

    No program needs a user's home, which may be missing, unknown, or not theirs to write.
    """
    return {
        "HOME": str(runtime),
        "TMPDIR": str(runtime / "tmp"),
        "XDG_CONFIG_HOME": str(runtime / "config"),
        "XDG_CACHE_HOME": str(runtime / "cache"),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_DATA_HOME": str(runtime / "share"),
        "XDG_STATE_HOME": str(runtime / "state"),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }


def insecure_origins(site_origin: str, *, dev_mode: bool) -> list[str]:
    """Return the `http` origins that count as secure: the page needs a secure context for its microphone (3.1)."""
    origins = [site_origin] if site_origin.startswith("http://") else []
    if dev_mode:
        origins += [f"http://{host}:{DEVELOPMENT_PORT}" for host in DEVELOPMENT_HOSTS]
    return origins


def chromium_args(
    *, width: int, height: int, secure_anyway: Iterable[str], extra: Iterable[str], microphone: bool = True
) -> list[str]:
    """Return the switches for a window of exactly `width` x `height`; one in `extra` replaces ours of its name.

    `microphone`: whether the page gets one when it asks.

    `extra` are such as `extra_switches.sift` lets through.
    """
    ours: dict[str, str | None] = {
        "--kiosk": None,  # no tab strip, no address bar, no exit bubble
        "--window-position": "0,0",
        SCALE: "1",
        "--autoplay-policy": "no-user-gesture-required",  # nobody is there to click
        "--use-fake-ui-for-media-stream": None,  # answers the page's question for a microphone
        "--use-fake-device-for-media-stream": None,  # a machine for recording has none
        "--disable-gpu": None,  # there is none; saves a process and its crashes
        "--disable-quic": None,  # some proxies drop UDP; the page loads over TCP anyway
        "--disable-background-networking": None,  # no update or field-trial traffic
        **dict.fromkeys(questions.SWITCHES),  # nothing may cover the call
        "--disable-notifications": None,
        "--disable-infobars": None,
        "--disable-session-crashed-bubble": None,
        "--disable-breakpad": None,  # no crash uploads: a dump could hold the token
        "--noerrdialogs": None,
        "--password-store": "basic",  # no keyring daemon
        "--disable-features": ",".join(FEATURES_OFF),
        "--enable-features": ",".join(FEATURES_ON),
        "--disable-field-trial-config": None,  # builds that are not Google's switch experiments on
        # Nobody tells Chromium that its window is looked at; the page must not rest.
        "--disable-background-timer-throttling": None,
        "--disable-backgrounding-occluded-windows": None,
        "--disable-renderer-backgrounding": None,
        "--disable-back-forward-cache": None,  # a page that is loaded again leaves the call at once
        "--disable-component-extensions-with-background-pages": None,  # processes that nobody needs
        "--disable-extensions": None,  # Debian's launcher loads what the system has
        "--disable-component-update": None,  # downloads
        "--disable-default-apps": None,
        "--disable-sync": None,
        "--metrics-recording-only": None,  # measures nothing to send
        "--disable-dev-shm-usage": None,  # a container's /dev/shm has 64 MB
        "--disk-cache-size": str(CACHE_BYTES),  # else it takes most of what is free where the profile is
        "--media-cache-size": str(CACHE_BYTES),
        "--disable-gpu-shader-disk-cache": None,  # nothing is ever found in that of a fresh profile
        "--disable-hang-monitor": None,  # no question over the call whether to wait
        "--no-default-browser-check": None,
        "--no-first-run": None,
        "--disable-search-engine-choice-screen": None,
        "--force-color-profile": "srgb",  # the same colours on every machine
        "--enable-unsafe-swiftshader": None,  # WebGL without a GPU
    }
    if not microphone:
        ours["--use-fake-ui-for-media-stream"] = "deny"  # without it, a page's wish for a screen opens a window
    if origins := list(secure_anyway):
        ours[SECURE_ANYWAY] = ",".join(origins)
    for word in extra:
        name, separator, value = word.partition("=")
        if name in JOINED:
            separator, value = "=", ",".join(filter(None, (ours.get(name), value)))
        ours[name] = value if separator else None
    pixel = scale(ours[SCALE] or "") or 1.0  # the window's size is counted in pixels of the page
    ours["--window-size"] = f"{math.ceil(width / pixel)},{math.ceil(height / pixel)}"
    return [name if value is None else f"{name}={value}" for name, value in ours.items()]


def proxy_switches(environment: Mapping[str, str]) -> list[str]:
    """Return the switches for the proxies that `environment` names: Chromium itself reads them on some desktops only.

    The names and their meaning are those of the HTTP client (requests): small letters go before capitals, a host in
    NO_PROXY stands for its subdomains too. Beyond that Chromium never asks a proxy for this machine itself.
    """

    def value(name: str) -> str:
        return environment.get(f"{name}_proxy") or environment.get(f"{name}_proxy".upper()) or ""

    chosen = {scheme: value(scheme) or value("all") for scheme in ("http", "https")}
    servers = [f"{scheme}={_proxy(address)}" for scheme, address in chosen.items() if address]
    if not servers:
        return []
    switches = [f"--proxy-server={';'.join(servers)}"]
    if bypass := [rule for entry in value("no").split(",") for rule in _bypass_rules(entry.strip())]:
        switches.append(f"--proxy-bypass-list={';'.join(bypass)}")
    return switches


def _proxy(address: str) -> str:
    """Return `scheme://host:port`. A password would be seen in the list of processes, and Chromium takes none here."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "http", address
    host = rest.rsplit("@", maxsplit=1)[-1].split("/", maxsplit=1)[0]
    return f"{scheme.lower().replace('socks5h', 'socks5').replace('socks4a', 'socks4')}://{host}"


def _bypass_rules(entry: str) -> list[str]:
    if entry in ("", "*") or "/" in entry:  # all, or a network in CIDR form
        return [entry] if entry else []
    if entry.count(":") > 1:  # IPv6
        return [entry if entry.startswith("[") else f"[{entry}]"]
    name = entry.lstrip("*.")
    return [name] if name.replace(".", "").replace(":", "").isdigit() else [name, f"*.{name}"]


def launch_failure(words: LastWords, how: str) -> BrowserError:
    """Turn what Chromium printed before it gave up into a cause that names the knob to turn; `how` it was noticed."""
    text = " | ".join(words.lines)
    said = words.shown() if words.shown() not in how else ""
    said = f"{how}: {said}" if said else how
    if any(sign in text for sign in ("No usable sandbox", "Failed to move to new namespace", "credentials.cc")):
        return BrowserError(
            "The recorder's browser could not set up its sandbox.",
            detail="user namespaces are refused here. In Docker: --security-opt seccomp=deploy/seccomp.json; in "
            "Kubernetes: the same file as seccompProfile; on the host: sysctl kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0. "
            f"Chromium {said}",
            code="sandbox_refused",
        )
    return BrowserError(detail=f"Chromium did not start: {said}")
