"""Known vulnerabilities of locked packages, looked up by `uv audit` in the database of osv.dev.

It audits projects that uv manages, so one is written whose lock says exactly what ours do: all platforms at once, and
nothing is resolved or installed. The form of uv's lock and answer belong to the uv that requirements.lock pins.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uv import find_uv_bin

from pipeline.deploy.locked import Pin
from pipeline.errors import SegdistillError

PREVIEW = "audit-command,json-output"
VULNERABLE = 1
"""Exit status of uv where there are some; 2 is another trouble."""


class NotChecked(SegdistillError):
    """Nobody looked whether the locked packages have known vulnerabilities."""


class Vulnerability(NamedTuple):
    package: str
    version: str
    id: str
    summary: str
    mended_in: tuple[str, ...]  # versions; empty if there is none yet

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.mended_in)}" if self.mended_in else "not mended yet"
        return f"{self.package}=={self.version} has {self.id} ({mended}): {self.summary}"


def known_vulnerabilities(pins: Sequence[Pin], service: str | None) -> list[Vulnerability]:
    """What the database knows against these versions.

    Args:
        service: address of another server with the interface of osv.dev, where that one cannot be reached.

    Raises:
        NotChecked: the service cannot be reached, or did not look at every package.
    """
    versions = {(pin.name, pin.version) for pin in pins}
    with tempfile.TemporaryDirectory() as folder:
        _write_project(Path(folder), sorted(versions))
        command = [find_uv_bin(), "audit", "--frozen", "--no-config", "--preview-features", PREVIEW]
        command += ["--output-format", "json", *(["--service-url", service] if service else [])]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, VULNERABLE):
        raise NotChecked(
            f"vulnerabilities were NOT CHECKED: the service could not be reached or gave no answer. Run make audit "
            f"where there is a network, or with SERVICE=<address of a mirror>; until then nobody knows.\n"
            f"{done.stderr.strip()}"
        )
    answer = json.loads(done.stdout)
    looked_at = answer["summary"]["audited_packages"]
    if looked_at != len(versions):
        raise NotChecked(f"vulnerabilities were NOT CHECKED: uv looked at {looked_at} of {len(versions)} packages")
    return [_vulnerability(found) for found in answer["vulnerabilities"]]


def _vulnerability(found: dict[str, Any]) -> Vulnerability:
    of = found["dependency"]
    return Vulnerability(of["name"], of["version"], found["id"], found["summary"] or "", tuple(found["fix_versions"]))


def _write_project(folder: Path, versions: Sequence[tuple[str, str]]) -> None:
    header = 'name = "locked"\nversion = "0"\n'
    packages = [f'name = "{name}", version = "{version}", source = {{ registry = "." }}' for name, version in versions]
    needed = ",\n".join(f"{{ {package} }}" for package in packages)
    tables = "\n".join("[[package]]\n" + package.replace(", ", "\n") + "\n" for package in packages)
    (folder / "pyproject.toml").write_text(f'[project]\n{header}requires-python = ">=3.11"\n', encoding="utf-8")
    (folder / "uv.lock").write_text(
        f'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\n{header}source = {{ virtual = "." }}\n'
        f"dependencies = [\n{needed}\n]\n\n{tables}",
        encoding="utf-8",
    )
