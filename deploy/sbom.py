"""Writes what is in this image as a CycloneDX bill of materials: Debian's packages, Python's, and the driver's Node.

Runs while the image is built, in the image: `python3 sbom.py PREFIX > FILE`, where PREFIX is the recorder's Python
environment. Standard library only. What the same packages make is the same text.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

FIELDS = "${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t${source:Version}\\t${db:Status-Status}\\n"


def purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    """Return a package's address as scanners look it up (github.com/package-url)."""
    end = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()))
    return f"pkg:{kind}/{name}@{quote(version, safe='~')}" + (f"?{end}" if end else "")


def component(kind: str, name: str, version: str, address: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": address, "name": name, "version": version, "purl": address}


def debian(distro: str) -> Iterator[dict[str, Any]]:
    """Yield Debian's packages; advisories go by the source package, which may have another name and version."""
    listed = subprocess.run(
        ["/usr/bin/dpkg-query", "--show", f"--showformat={FIELDS}"], capture_output=True, check=True, text=True
    )
    for line in listed.stdout.splitlines():
        name, version, architecture, source, source_version, status = line.split("\t")
        if status == "installed":
            upstream = {"upstream": f"{source}@{source_version}"} if (source, source_version) != (name, version) else {}
            address = purl("deb/debian", quote(name), version, arch=architecture, distro=distro, **upstream)
            yield component("library", name, version, address)


def python(packages: Path) -> Iterator[dict[str, Any]]:
    for one in distributions(path=[str(packages)]):
        name = one.metadata["Name"].lower().replace("_", "-")
        yield component("library", name, one.version, purl("pypi", name, one.version))


def driver(packages: Path) -> Iterator[dict[str, Any]]:
    """Yield what Playwright's wheel brings inside: Node, and its own JavaScript."""
    folder = packages / "playwright" / "driver"
    node = subprocess.run([folder / "node", "--version"], capture_output=True, check=True, text=True).stdout.strip()
    yield component("application", "node", node.removeprefix("v"), purl("generic", "node", node.removeprefix("v")))
    package = json.loads((folder / "package" / "package.json").read_text(encoding="utf-8"))
    yield component("library", package["name"], package["version"], purl("npm", package["name"], package["version"]))


def bill(prefix: Path) -> dict[str, Any]:
    system = platform.freedesktop_os_release()
    (packages,) = prefix.glob("lib/python3*/site-packages")
    distro = f"{system['ID']}-{system['VERSION_ID']}"
    found = [*debian(distro), *python(packages), *driver(packages)]
    (us,) = [one for one in found if one["name"] == "recorder-fsm"]
    found.remove(us)
    found.append({"type": "operating-system", "bom-ref": distro, "name": system["ID"], "version": system["VERSION_ID"]})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**us, "type": "application"}},
        "components": sorted(found, key=lambda one: str(one["bom-ref"])),
    }


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1])), sys.stdout, indent=1)
