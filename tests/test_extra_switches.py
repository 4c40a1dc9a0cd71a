"""The switches that people add: which are taken, which are left out, and that each is left out with a reason."""

from __future__ import annotations

import pytest

from recorder_fsm.browser.extra_switches import REFUSED, sift

CANNOT_RECORD = (
    "--headless",
    "--headless=new",
    "--headless=old",
    "--HEADLESS",
    "---headless",
    "--ozone-platform=headless",
    "--ozone-platform=wayland",
    "--ozone_platform=headless",
    "--ozone-platform-hint=auto",
    "--display=:1",
    "--no-startup-window",
    "--app=https://example.com",
    "--window-size=1280x720",
    "--window-size=1280,720",
    "--window-position=1,1",
    "--start-maximized",
    "--start-minimized",
    "--user-data-dir=/tmp/a",
    "--profile-directory=Default",
    "--incognito",
    "--guest",
    "--enable-automation",
    "--auto-open-devtools-for-tabs",
    "--remote-debugging-port=9222",
    "--remote-debugging-address=0.0.0.0",
    "--type=renderer",
    "--single-process",
    "--version",
    "--screenshot",
    "--dump-dom",
    "--print-to-pdf=a.pdf",
    "--mute-audio",
    "--disable-audio-output",
    "--alsa-output-device=hw:0",
    "--autoplay-policy=document-user-activation-required",
    "--use-fake-ui-for-media-stream=deny",
    "--force-color-profile=display-p3-d65",
    "--force-device-scale-factor",
    "--force-device-scale-factor=0",
    "--force-device-scale-factor=-1",
    "--force-device-scale-factor=nan",
    "--force-device-scale-factor=inf",
    "--force-device-scale-factor=100",
    "--force-device-scale-factor=big",
)
LEGITIMATE = (
    "--lang=de",
    "--proxy-server=http=proxy:3128;https=proxy:3128",
    "--proxy-bypass-list=*.example.com",
    "--proxy-pac-url=http://wpad/wpad.dat",
    "--host-resolver-rules=MAP a 127.0.0.1",
    "--ignore-certificate-errors",
    "--force-device-scale-factor=1.5",
    "--force-device-scale-factor=2",
    "--disable-features=A,B",
    "--enable-features=C",
    "--disable-gpu",
    "--disable-gpu-compositing",
    "--in-process-gpu",
    "--use-angle=swiftshader",
    "--no-zygote",
    "--no-sandbox",
    "--enable-logging=stderr",
    "--v=1",
    "--js-flags=--max-old-space-size=512",
    "--force-dark-mode",
    "--auth-server-allowlist=*.example.com",
    "--force-webrtc-ip-handling-policy=default_public_interface_only",
    "--headless-is-not-the-whole-name",
    "--a==b",
)


@pytest.mark.parametrize("word", CANNOT_RECORD)
def test_switch_that_cannot_record_is_left_out_with_a_reason(word: str) -> None:
    """In all spellings; the others go on."""
    taken, left_out = sift(["--lang=de", word, "--v=1"])
    assert taken == ["--lang=de", "--v=1"]
    ((named, why),) = left_out
    assert named == word
    assert why


@pytest.mark.parametrize("word", LEGITIMATE)
def test_legitimate_switch_is_taken_as_it_is(word: str) -> None:
    """Nothing is changed in it."""
    assert sift([word]) == ([word], [])


def test_each_is_named_as_often_as_it_is_there() -> None:
    """Three words, three warnings: nobody has to guess which was meant."""
    words = ["--headless", "--headless=new", "--mute-audio"]
    assert [word for word, _ in sift(words)[1]] == words


def test_names_are_written_as_chromium_writes_them() -> None:
    """Else they would never be met."""
    assert all(name == name.lower() and not name.startswith("-") and "_" not in name for name in REFUSED)
