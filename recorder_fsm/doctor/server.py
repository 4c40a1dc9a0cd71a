"""The Mattermost server as a job would find it: there, trusted, on time, with the plugin, and with the bot let in.

It is only asked: nothing is reported, uploaded or posted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from recorder_fsm.doctor.findings import Finding, Findings, Machine
from recorder_fsm.doctor.wishes import SERVER
from recorder_fsm.error_catalogue import advice
from recorder_fsm.errors import PLUGIN_OFF, AccessRefused, MattermostError, RecorderError
from recorder_fsm.mattermost.channel import ChannelBot
from recorder_fsm.mattermost.inspection import Inspection
from recorder_fsm.media.encode import KEYFRAME_EVERY_S
from recorder_fsm.system.threads import in_daemon_thread
from recorder_fsm.terminal.screen import Mark, size

STEP_LIMIT_S = 8.0
WHOLE_LIMIT_S = 14.0
STEPS = ("site", "certificate", "clock", "token", "calls plugin", "recording page", "MaxFileSize")
OF_A_CALL = ("calls plugin", "recording page")
SKEW_S, MUCH_SKEW_S = 5.0, 120.0
SOON_DAYS = 14
FIRST_PART_BYTES = 5 * 2**20
"""The least first part that a server takes (contract 2.5)."""
USUAL_MINUTES = 60
"""MaxRecordingDuration, where the plugin does not tell (contract 4.2)."""
BOT = "calls"

T = TypeVar("T")


async def server(machine: Machine) -> Findings:
    """Ask step by step; what cannot be asked, because a step before it failed, is skipped."""
    wishes = machine.wishes
    if not wishes.has("SITE_URL"):
        return [Finding(name, Mark.SKIPPED, wishes.without("SITE_URL")) for name in STEPS]
    try:
        asked = Inspection(
            str(wishes.values["site_url"]),
            str(wishes.values["auth_token"]),
            wishes.values["tls_ca_cert_file"],
            machine.clock,
        )
    except RecorderError as error:
        return [Finding("site", Mark.BAD, str(error), advice(error.code)), *_rest("certificate", "needs the site")]
    try:
        return await _Examination(machine, asked).run()
    finally:
        asked.close()


class _Examination:
    """One server, and what was found so far."""

    def __init__(self, machine: Machine, asked: Inspection) -> None:
        self._machine = machine
        self._asked = asked
        self._posts = machine.wishes.posts
        self._call = not machine.wishes.values["record_url"]
        self._found: list[Finding] = []
        self._until = time.monotonic() + WHOLE_LIMIT_S

    async def run(self) -> Findings:
        if self._asked.site.scheme == "https":
            await self._step("certificate", self._certificate)
        else:
            self._found.append(Finding("certificate", Mark.SKIPPED, "the site is on http"))
        if not await self._step("site", self._site):
            return [*self._found, *_rest("clock", "the site does not answer")]
        self._found.append(self._clock())
        wishes = self._machine.wishes
        let_in = wishes.has(*SERVER) and await self._step("token", self._token)
        if not wishes.has(*SERVER):
            self._found.append(Finding("token", Mark.SKIPPED, wishes.without(*SERVER)))
        if not self._call:
            self._found += [Finding(name, Mark.SKIPPED, "RECORD_URL: no call is recorded") for name in OF_A_CALL]
        elif await self._step("calls plugin", self._plugin):
            await self._step("recording page", self._page)
        else:
            self._found.append(Finding("recording page", Mark.SKIPPED, "the plugin does not answer"))
        if let_in:
            await self._step("MaxFileSize", self._file_size)
        else:
            self._found.append(Finding("MaxFileSize", Mark.SKIPPED, "told only to somebody with a valid token"))
        return self._found

    async def _step(self, name: str, look: Callable[[], Any]) -> bool:
        """Take one step within its limit; returns whether it went well."""
        try:
            async with asyncio.timeout(min(STEP_LIMIT_S, self._until - time.monotonic())):
                finding: Finding = await look()
        except TimeoutError:
            finding = Finding(name, Mark.BAD, "no answer in time", "Look at the network, and at the server's load.")
        except MattermostError as error:
            finding = Finding(
                name, Mark.BAD, str(error), _cure(name, error), {"code": error.code, "status": error.status}
            )
        self._found.append(finding)
        return finding.mark is not Mark.BAD

    async def _site(self) -> Finding:
        began = time.monotonic()
        version = str((await in_daemon_thread(self._asked.server)).get("Version") or "of an unknown version")
        took_s = time.monotonic() - began
        way = f" by the proxy {self._asked.proxy}" if self._asked.proxy else ""
        value = f"{self._asked.site.origin} answers in {took_s * 1000:.0f} ms{way}: Mattermost {version}"
        data = {"answer_s": round(took_s, 3), "proxy": self._asked.proxy, "version": version}
        return Finding("site", Mark.OK, value, data=data)

    async def _certificate(self) -> Finding:
        if self._asked.proxy:
            return Finding("certificate", Mark.SKIPPED, f"behind the proxy {self._asked.proxy}: seen with the site")
        certificate = await in_daemon_thread(self._asked.certificate)
        days = (certificate.ends - datetime.fromtimestamp(self._machine.clock(), UTC)).days
        mark = Mark.OK if days >= SOON_DAYS else Mark.WARNING
        cure = "" if mark is Mark.OK else "Renew it: no recording starts with one that has ended."
        value = f"valid for {days} days, by {certificate.issuer}, {certificate.tls}"
        data = {"days": days, "ends": certificate.ends.isoformat(), "issuer": certificate.issuer}
        return Finding("certificate", mark, value, cure, data)

    def _clock(self) -> Finding:
        skew_s = self._asked.skew_s
        if skew_s is None:
            return Finding("clock", Mark.SKIPPED, "the server does not tell the time")
        mark = Mark.OK if abs(skew_s) < SKEW_S else Mark.WARNING if abs(skew_s) < MUCH_SKEW_S else Mark.BAD
        cure = "" if mark is Mark.OK else "Let both machines keep time (NTP): names and captions go by it."
        side = "ahead of" if skew_s >= 0 else "behind"
        return Finding("clock", mark, f"{abs(skew_s):.1f} s {side} the server's", cure, {"skew_s": round(skew_s, 1)})

    async def _token(self) -> Finding:
        if not self._call:
            await self._look_at_channel()
        me = await in_daemon_thread(self._asked.me)
        name, is_bot = str(me.get("username", "")), bool(me.get("is_bot"))
        if not self._call:
            return Finding("token", Mark.OK, f"valid, of {name or 'a user'}", data={"username": name})
        try:
            await in_daemon_thread(self._asked.name_for, str(self._machine.wishes.values["call_id"]))
        except AccessRefused as error:
            if not is_bot or name != BOT:
                value = f"it is the token of {'the bot' if is_bot else 'the user'} {name}, not of the Calls bot"
                return Finding("token", Mark.BAD, value, _cure("token", error), {"username": name})
            raise
        if self._posts:
            await self._look_at_channel()
        return Finding("token", Mark.OK, f"valid, and the bot's ({name or 'unnamed'})", data={"username": name})

    async def _look_at_channel(self) -> None:
        """Look as the start of a job does whether its recording could be posted; raises what is in the way."""
        values = self._machine.wishes.values
        if not values["call_id"]:
            return
        channel = ChannelBot(
            site_url=str(values["site_url"]),
            token=str(values["auth_token"]),
            channel_id=str(values["call_id"]),
            root_id=str(values["post_id"]),
            recording_id="",
            ca_file=values["tls_ca_cert_file"],
        )
        try:
            await channel.check(STEP_LIMIT_S)
        finally:
            channel.close()

    async def _plugin(self) -> Finding:
        try:
            version = await in_daemon_thread(self._asked.plugin_version)
        except AccessRefused:
            return Finding("calls plugin", Mark.OK, "it runs; its version is told only to somebody with a valid token")
        return Finding("calls plugin", Mark.OK, version or "it does not tell its version", data={"version": version})

    async def _page(self) -> Finding:
        length = await in_daemon_thread(self._asked.page_bytes)
        return Finding("recording page", Mark.OK, f"reachable with the recorder's header ({size(length)})")

    async def _file_size(self) -> Finding:
        """Compare with the longest recording that the plugin allows; one that is larger is sent in parts."""
        limit, minutes = await in_daemon_thread(self._asked.max_file_size), USUAL_MINUTES
        if self._call:
            with contextlib.suppress(MattermostError, TypeError, ValueError):
                config = await in_daemon_thread(self._asked.plugin_config)
                minutes = int(config.get("MaxRecordingDuration") or USUAL_MINUTES)
        longest = self._machine.wishes.hour_bytes * minutes // 60
        whole = f"a recording of {minutes} minutes has {size(longest)} at most"
        data = {"max_file_size": limit, "longest_bytes": longest, "longest_minutes": minutes}
        if limit is None:
            cure = "Look at FileSettings.MaxFileSize: uploads begin with a part of 5 MiB."
            return Finding("MaxFileSize", Mark.WARNING, f"the server does not tell it; {whole}", cure, data)
        least = FIRST_PART_BYTES
        cure = "Set FileSettings.MaxFileSize to 5 MiB or more: uploads begin with a part of that size."
        if self._posts:  # it is cut where a key frame is
            least, cure = self._machine.wishes.hour_bytes * KEYFRAME_EVERY_S // 3600, advice("cut")
        if limit < least:
            return Finding("MaxFileSize", Mark.BAD, f"{size(limit)}; {whole}", cure, data)
        parts = -(-longest // limit)
        sent = f", {'posted' if self._posts else 'sent'} in {parts} parts" if parts > 1 else ""
        return Finding("MaxFileSize", Mark.OK, f"{size(limit)}; {whole}{sent}", data=data)


def _cure(name: str, error: MattermostError) -> str:
    if error.code == "certificate":
        return "Name the authority that signed it in TLS_CA_CERT_FILE, or renew the certificate."
    if error.code == PLUGIN_OFF:
        return "Enable the Calls plugin in the System Console."
    if name == "token":
        usual = "Use a present token of the Calls bot, as each job gets one. Recording needs an Enterprise licence."
        return usual if error.code == AccessRefused.code else advice(error.code) or usual
    if name == "recording page":
        return "A proxy may drop the header X-Calls-Recorder, or the plugin may be too old."
    if name == "site":
        return "Look at SITE_URL, DNS, the firewall and proxies (HTTPS_PROXY, NO_PROXY)."
    return "Look at the server's log."


def _rest(first: str, why: str) -> list[Finding]:
    """Return findings for the steps that were not taken."""
    return [Finding(name, Mark.SKIPPED, why) for name in STEPS[STEPS.index(first) :]]
