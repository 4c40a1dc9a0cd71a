"""The hook that hears who talks, in a real Chromium, on a websocket whose messages are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import recorder_fsm

HOOK = Path(recorder_fsm.__file__).parent / "browser" / "people_hook.js"
CALL, OTHER, ANNA, OURS = "c" * 26, "d" * 26, "a" * 26, "z" * 26
SOCKET = """
window.heard = [];
window.__recorderFsmTell = (text) => { heard.push(JSON.parse(text)); return Promise.resolve(); };
window.WebSocket = class extends EventTarget { constructor() { super(); window.socket = this; } };
"""


def said(event: str, data: dict[str, Any], channel: str = "") -> str:
    name = event if event == "hello" else f"custom_com.mattermost.calls_{event}"
    return json.dumps({"event": name, "data": data, "broadcast": {"channel_id": channel}})


def test_hook_tells_of_people_in_its_own_call_alone() -> None:
    """In both forms in which the plugin names user and channel; silent of itself, of other calls, of rubbish."""
    state = {"sessions": [{"session_id": ANNA, "user_id": ANNA}, {"session_id": OURS, "user_id": OURS}, {}, None]}
    someone = {"session_id": ANNA}
    messages = [
        said("hello", {"connection_id": OURS}),
        said("call_state", {"channel_id": CALL, "call": json.dumps({**state, "screen_sharing_session_id": ANNA})}),
        said("call_state", {"channel_id": OTHER, "call": json.dumps(state)}),
        said("user_voice_on", {"userID": ANNA, "channelID": CALL, **someone}),
        said("user_voice_on", {"userID": ANNA, "channelID": OTHER, **someone}),
        said("user_left", {"user_id": ANNA, **someone}, channel=CALL),
        said("user_joined", {"user_id": OURS, "session_id": OURS, "channelID": CALL}),
        said("user_reacted", {"user_id": ANNA, "channelID": CALL, **someone}),
        said("user_screen_on", {"userID": "<script>", "session_id": "x", "channelID": CALL}),
        said("call_state", {"channel_id": CALL, "call": "{"}),
        '{"event": "custom_com.mattermost.calls_user_left", "data": null}',
        "custom_com.mattermost.calls_ rubbish",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.add_init_script(SOCKET)
        page.add_init_script(HOOK.read_text(encoding="utf-8"))
        page.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        page.goto(f"http://127.0.0.1/recording.html?call_id={CALL}")
        page.evaluate(
            """messages => { new WebSocket("ws://127.0.0.1");
                for (const data of messages) socket.dispatchEvent(new MessageEvent("message", {data})); }""",
            messages,
        )
        heard = page.evaluate("heard")
        browser.close()
    assert {one["kind"] for one in heard} == {"people"}
    assert [one["detail"] for one in heard] == [
        {"event": "state", "sessions": [{"session": ANNA, "user": ANNA}], "screen": ANNA},
        {"event": "voice_on", "session": ANNA, "user": ANNA},
        {"event": "left", "session": ANNA, "user": ANNA},
    ]
