"""What Chromium's sandbox and the recorder need of the kernel: user namespaces, system calls, rights."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import attrs

from recorder_fsm.browser.launch_options import child_environment
from recorder_fsm.doctor.findings import Finding, Findings, Machine
from recorder_fsm.doctor.system_calls import CALLS, NAMESPACES
from recorder_fsm.system.process import run
from recorder_fsm.terminal.screen import Mark

PROGRAM = Path(__file__).with_name("system_calls.py")
TRY_LIMIT_S = 4.0
MOST_TRIES = 6
"""A filter that kills ends the program; it is started again behind the call that was its last."""
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
NEEDED = ("unshare", "prctl", "seccomp", "memfd_create", "epoll_create1", "eventfd2", "getrandom", "sched_getaffinity")
"""Without one of these Chromium does not start, or not in its sandbox. Without the others the recorder does as well."""
ALLOWED_BY_ROOT_ALONE = ("chroot", "setns")
"""The kernel itself may refuse these to an ordinary user."""
PROFILE = "Docker: --security-opt seccomp=deploy/seccomp.json; Kubernetes: the same file as seccompProfile."

KNOBS = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
)
"""What can forbid user namespaces on a host: the file, the value that forbids, the cure."""


@attrs.frozen
class Tried:
    """The error of each call that was tried, 0 where there was none; `killed`: those that ended the program."""

    errors: dict[str, int]
    killed: tuple[str, ...]


async def user(machine: Machine) -> Findings:
    """Say who we are, and what we may."""
    fields = dict(re.findall(r"^(\w+):\s*(\S+)", (machine.proc / "self/status").read_text(), re.MULTILINE))
    value = f"user {os.geteuid()}, no-new-privileges {'on' if fields.get('NoNewPrivs') == '1' else 'off'}"
    data = {"uid": os.geteuid(), "capabilities": fields.get("CapEff", ""), "seccomp": fields.get("Seccomp", "")}
    if os.geteuid() == 0:
        dev = bool(machine.wishes.values["dev_mode"] == "true")
        cure = (
            "Chromium has no sandbox then."
            if dev
            else "A job refuses root: use an ordinary user. DEV_MODE=true is for tests."
        )
        return [Finding("user", Mark.WARNING, f"{value}: root", cure, data)]
    return [Finding("user", Mark.OK, value, data=data)]


async def namespaces(machine: Machine) -> Findings:
    """Look at each knob that can forbid user namespaces, and try."""
    tried = await _tried(machine)
    # Any error: a limit of none is ENOSPC, a kernel without them EINVAL.
    refused = any(tried.errors.get(name, 0) or name in tried.killed for name in NAMESPACES)
    found = []
    for name, forbids, cure in KNOBS:
        path = machine.proc / "sys" / name
        try:
            value = path.read_text().strip()
        except OSError:
            continue  # this kernel does not have it
        shown = name.replace("/", ".")
        if value == forbids:
            mark = Mark.BAD if refused else Mark.WARNING
            found.append(Finding(shown, mark, value, f"On the host: {cure}"))
        else:
            found.append(Finding(shown, Mark.OK, value))
    if refused:
        cure = PROFILE if not any(one.mark is Mark.BAD for one in found) else "See the line above."
        return [*found, Finding("user namespaces", Mark.BAD, "refused: Chromium cannot set up its sandbox", cure)]
    if "user namespace" not in tried.errors:
        return [*found, Finding("user namespaces", Mark.SKIPPED, "not tried on this kind of machine")]
    return [*found, Finding("user namespaces", Mark.OK, "can be made")]


async def system_calls(machine: Machine) -> Findings:
    """Say which system calls are refused."""
    tried = await _tried(machine)
    if not tried.errors:
        return [Finding("system calls", Mark.SKIPPED, "not tried on this kind of machine")]
    expected = () if os.geteuid() == 0 else ALLOWED_BY_ROOT_ALONE
    refused = [name for name in CALLS if tried.errors.get(name, 0) in REFUSED and name not in expected]
    if tried.errors.get("clone3") == errno.ENOSYS:  # everybody tries clone(2) then
        refused.remove("clone3")
    refused += [name for name in tried.killed if name in CALLS]
    needed = [name for name in refused if name in NEEDED]
    data = {"refused": refused, "tried": len(CALLS)}
    if needed:
        return [Finding("system calls", Mark.BAD, f"refused: {', '.join(refused)}", PROFILE, data)]
    if refused:
        value = f"refused: {', '.join(refused)}; a recording does without them"
        return [Finding("system calls", Mark.WARNING, value, PROFILE, data)]
    return [Finding("system calls", Mark.OK, f"{len(CALLS)} tried, none is refused", data=data)]


async def _tried(machine: Machine) -> Tried:
    """Try them in a child, which is started again behind a call that ended it."""
    errors: dict[str, int] = {}
    killed: list[str] = []
    for _ in range(MOST_TRIES):
        done_so_far = sum(name in errors or name in killed for name in CALLS)
        argv = [sys.executable, "-I", "-S", str(PROGRAM), str(done_so_far)]
        done = await run("system calls", argv, env=child_environment(machine.environment), limit_s=TRY_LIMIT_S)
        for line in done.stdout.decode().splitlines():
            name, _, error = line.rpartition(" ")
            errors[name.rstrip(":")] = int(error)
        if done.returncode >= 0:
            break
        last = next((name for name in (*CALLS, *NAMESPACES) if name not in errors and name not in killed), None)
        if last is None:
            break
        killed.append(last)
        if last in NAMESPACES:  # it is behind all calls
            break
    return Tried(errors, tuple(killed))
