"""The files for Kubernetes and for seccomp: valid, complete, and as hard as they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recorder_fsm import __version__
from recorder_fsm.commands import commands
from recorder_fsm.config.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").rglob("*.yaml") if path.name != "kustomization.yaml")
HARDENED = DEPLOY / "kubernetes" / "hardened"
# What Docker's manual names as refused by default, but for what Chromium's sandbox needs.
REFUSED = {
    "acct", "add_key", "bpf", "clock_settime", "create_module", "delete_module", "finit_module",
    "get_mempolicy", "init_module", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load",
    "keyctl", "lookup_dcookie", "mbind", "mount", "move_pages", "open_by_handle_at", "perf_event_open",
    "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key",
    "set_mempolicy", "settimeofday", "swapoff", "swapon", "sysfs", "syslog", "umount2", "uselib", "userfaultfd",
    "ustat", "vm86", "vm86old",
}  # fmt: skip


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_manifest_fits_the_schema(path: Path, version: str) -> None:
    """Strictly: a property that Kubernetes does not know is a mistake."""
    kubernetes_validate.validate(load(path), version, strict=True)


def test_schema_check_notices_a_misspelt_property() -> None:
    """The check above can fail."""
    manifest = load(HARDENED / "job.yaml")
    manifest["spec"]["template"]["spec"]["restartPolice"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.34", strict=True)


def test_image_names_this_version_of_itself() -> None:
    """A plain `docker build` gives the label the program's version."""
    dockerfile = (DEPLOY.parent / "Dockerfile").read_text()
    assert f"\nARG VERSION={__version__}\n" in dockerfile
    for name in ("source", "version", "revision"):
        assert re.search(rf'org\.opencontainers\.image\.{name}="\${{{name.upper()}(:-unknown)?}}"', dockerfile)


def test_kustomization_holds_every_file_and_this_version() -> None:
    """Nothing is forgotten, and the tag is the program's version."""
    kustomization = load(HARDENED / "kustomization.yaml")
    files = {path.name for path in HARDENED.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
    assert kustomization["images"][0]["newTag"] == __version__


TWELVE = {
    "SITE_URL", "CALL_ID", "POST_ID", "RECORDING_ID", "AUTH_TOKEN", "WIDTH", "HEIGHT", "VIDEO_RATE", "AUDIO_RATE",
    "FRAME_RATE", "VIDEO_PRESET", "OUTPUT_FORMAT",
}  # fmt: skip


def test_offloader_job_is_as_the_offloader_makes_it() -> None:
    """Contract 1.3, 4.3 and 4.5: labels, namespace, one try, 300 s of grace, toleration, variables that hold, /data."""
    whole = load(DEPLOY / "kubernetes" / "offloader-job.yaml")
    job, pod = whole["spec"], whole["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for labels in (whole["metadata"]["labels"], job["template"]["metadata"]["labels"]):
        assert labels == {"app": "mattermost-calls-offloader", "job_name": whole["metadata"]["name"]}
    assert whole["metadata"]["namespace"]
    assert (job["backoffLimit"], pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == (0, "Never", 300)
    assert {"key": "utilities", "operator": "Equal", "value": "true", "effect": "NoSchedule"} in pod["tolerations"]
    assert "securityContext" not in pod
    assert container["securityContext"] == {"privileged": False}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert set(variables) == TWELVE
    settings = Settings.from_environment(variables)
    assert (settings.width, settings.height, settings.frame_rate) == (1280, 720, 20)
    assert container["volumeMounts"][0]["mountPath"] == "/data"


def test_time_to_live_is_said_to_hang_on_the_retention() -> None:
    """The offloader sets it only where a retention time is set."""
    text = (DEPLOY / "kubernetes" / "offloader-job.yaml").read_text()
    before, _, _ = text.partition("  ttlSecondsAfterFinished")
    assert "failed_jobs_retention_time" in before.splitlines()[-1]


def test_recover_job_needs_nothing_but_a_claim_and_a_token() -> None:
    """It writes as the recorders do, to the claim of the hardened job, and is as closed; it opens no browser."""
    job = load(DEPLOY / "kubernetes" / "recover.yaml")
    pod, hardened = (one["spec"]["template"]["spec"] for one in (job, load(HARDENED / "job.yaml")))
    (container,), (recorder,) = pod["containers"], hardened["containers"]
    assert container["args"] == ["recover"]
    assert container["args"][0] in commands.commands
    assert container["securityContext"] == recorder["securityContext"]
    assert [pod["securityContext"][name] for name in ("runAsNonRoot", "runAsUser")] == [True, 1000]
    assert not pod["automountServiceAccountToken"]
    claim = load(HARDENED / "claim.yaml")["metadata"]["name"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim}} in pod["volumes"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"/data", "/tmp"}  # noqa: S108 - in the pod
    assert "AUTH_TOKEN" not in {variable["name"] for variable in container["env"]}
    # An object that is made anew each time; `apply` could not.
    assert "name" not in job["metadata"]


def test_hardened_job_gives_nothing_away() -> None:
    """Never root, nothing to gain, nothing to write to but its two volumes, no token of the cluster."""
    pod = load(HARDENED / "job.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "Localhost"
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not any(variable["name"] == "AUTH_TOKEN" for variable in container["env"])


def test_probe_in_the_document_fits_the_hardened_job() -> None:
    """What docs/observing.md says to add can be added as it stands, and ends no recording."""
    text = (DEPLOY.parent / "docs" / "observing.md").read_text(encoding="utf-8")
    probe, rule, scrape = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    job = load(HARDENED / "job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"] += probe.pop("env")
    container |= probe
    kubernetes_validate.validate(job, "1.34", strict=True)
    assert "livenessProbe" not in container
    assert any(variable["name"] == "STATUS_ADDR" for variable in container["env"])
    policy = load(HARDENED / "network-policy.yaml")
    policy["spec"] |= rule
    kubernetes_validate.validate(policy, "1.34", strict=True)
    names = {port["name"] for port in container["ports"]}
    kept = [one["regex"] for one in scrape["scrape_configs"][0]["relabel_configs"] if one.get("action") == "keep"]
    assert set(kept) == names


def test_seccomp_profile_allows_the_sandbox_and_no_more_than_usual() -> None:
    """The four calls of Chromium's sandbox without any condition; nothing of what Docker refuses to everybody."""
    profile = json.loads((DEPLOY / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    free = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]}
    limited = {name for rule in profile["syscalls"] if "args" in rule for name in rule["names"]}
    assert {"clone", "clone3", "unshare", "setns", "chroot", "seccomp"} <= free
    assert not (free | limited) & REFUSED
    assert {"socket", "personality"} == limited
    # containerd and CRI-O know no `includes`: a rule with one would hold for every container there.
    assert all(set(rule) <= {"comment", "names", "action", "args"} for rule in profile["syscalls"])
