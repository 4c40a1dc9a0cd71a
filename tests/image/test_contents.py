"""What lies in the image: nothing that lends rights, no package without its files, and a bill of all the rest."""

from __future__ import annotations

import json
import shlex

from bench.harness.containers import IMAGE, docker
from recorder_fsm import __version__

LISTED = "dpkg-query --show --showformat='${Package}=${Version}\\n'"
LENT = "find / -xdev -type f -perm /6000"
LOST = """for list in /var/lib/dpkg/info/*.list; do
    files=0 found=0
    while read -r file; do
        if [ -d "$file" ]; then continue; fi
        case $file in /usr/share/doc/*|/usr/share/man/*|/usr/share/lintian/*|/usr/share/locale/*) continue ;; esac
        files=$((files + 1))
        if [ -e "$file" ] || [ -L "$file" ]; then found=$((found + 1)); fi
    done < "$list"
    if [ $files -gt 0 ] && [ $found -eq 0 ]; then echo "$list"; fi
done"""


async def shell(script: str) -> str:
    return await docker("run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c", script)


async def test_no_program_lends_rights() -> None:
    """None is setuid or setgid, and an update of its package leaves it so."""
    assert await shell(LENT) == ""
    assert "/usr/bin/su\n" in await shell("dpkg-statoverride --list | sed 's/.* //'")


async def test_no_package_is_there_without_its_files() -> None:
    """What Mesa's renderers want (LLVM and all) is not installed: a scanner would find holes in what is not there."""
    assert await shell(LOST) == ""
    names = [line.partition("=")[0] for line in (await shell(LISTED)).splitlines()]
    assert not [name for name in names if name.startswith(("libllvm", "libz3", "mesa-libgallium", "libgl1-mesa-dri"))]
    assert "chromium" in names
    assert await shell("dpkg --audit") == ""


async def test_bill_holds_every_package_of_debian_and_of_python() -> None:
    """The CycloneDX file in the image: all of dpkg's packages, all of the environment's, and the driver's Node."""
    bill = json.loads(await shell("cat /usr/share/recorder-fsm/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["version"] == __version__
    parts = bill["components"]
    assert len({one["bom-ref"] for one in parts}) == len(parts)
    debian = {f"{one['name']}={one['version']}" for one in parts if one.get("purl", "").startswith("pkg:deb/debian/")}
    assert debian == set((await shell(LISTED)).splitlines())
    python = 'import importlib.metadata as m; print(*[d.name + "=" + d.version for d in m.distributions()])'
    installed = (
        (await shell(f"/opt/recorder-fsm/bin/python3 -c {shlex.quote(python)}")).lower().replace("_", "-").split()
    )
    listed = {f"{one['name']}={one['version']}" for one in parts if one.get("purl", "").startswith("pkg:pypi/")}
    assert listed == set(installed) - {f"recorder-fsm={__version__}"}
    (node,) = [one["version"] for one in parts if one["name"] == "node"]
    driver = "/opt/recorder-fsm/lib/python3*/site-packages/playwright/driver/node --version"
    assert (await shell(driver)).strip() == f"v{node}"


async def test_labels_say_where_it_came_from() -> None:
    """Version, revision and source stand in the labels of the image itself."""
    labels = json.loads(await docker("image", "inspect", "--format", "{{json .Config.Labels}}", IMAGE))
    assert labels["org.opencontainers.image.version"] == __version__
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert "@" not in labels["org.opencontainers.image.source"]
