"""Check the hashes, licenses and known vulnerabilities of all locked packages.

Ends with status 1 if a line of a lock is not one version with hashes, a license is unknown or not allowed, a package
has a known vulnerability, or vulnerabilities could not be checked. `uv audit` asks osv.dev about all platforms, and
installs nothing.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from uv import find_uv_bin

from pipeline.deploy.requirements_lock import LICENSES, LOCK, Licensed, Pin, read_licenses, read_lock
from pipeline.errors import ArtifactError, SegdistillError
from pipeline.licenses import FROM_METADATA, LOCKS, installed, is_allowed, license_of

FOUND = 1  # uv's status if there are vulnerabilities; 2 is any other error
HEADER = 'name = "locked"\nversion = "0"\n'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service", help="address of a server with osv.dev's interface (default: osv.dev)")


def run(arguments: argparse.Namespace) -> None:
    wrong, pins = [], set()
    for folder, allowed in LOCKS.items():
        try:
            locked, listed = read_lock(folder / LOCK), read_licenses(folder / LICENSES)
        except SegdistillError as error:
            wrong.append(str(error))
            continue
        print(f"{folder / LOCK}: {len(locked)} versions, {sum(len(pin.sha256) for pin in locked)} hashes")
        wrong += [f"{folder / LOCK}: {objection}" for objection in license_objections(locked, listed, allowed)]
        pins |= {(pin.name, pin.version) for pin in locked}
    status = look_up(sorted(pins), arguments.service)
    if status == FOUND:
        wrong.append(f"packages have vulnerabilities listed by {arguments.service or 'osv.dev'}: see above")
    elif status:
        wrong.append("vulnerabilities were NOT CHECKED: run the audit with a network, or with --service ADDRESS")
    if wrong:
        raise ArtifactError("\n  ".join([f"{len(wrong)} problem(s):", *wrong]))


def license_objections(
    pins: Iterable[Pin], listed: Mapping[tuple[str, str], Licensed], allowed: frozenset[str]
) -> list[str]:
    """Return what is wrong with the licenses of a lock: unknown, different from the package's own, or not allowed."""
    pinned = {(pin.name, pin.version): pin for pin in pins}
    found = [f"{name}=={version} is listed but not locked" for name, version in listed.keys() - pinned.keys()]
    for key, pin in pinned.items():
        row, metadata = listed.get(key), installed(pin)
        if row is None or not row.license:
            found.append(f"{pin} has no known license: run `python -m pipeline licenses`")
        elif row.source == FROM_METADATA and metadata is not None and license_of(metadata) != row.license:
            found.append(f"{pin} is listed under {row.license}, but says {license_of(metadata) or 'nothing clear'}")
        elif not is_allowed(row.license, allowed):
            found.append(f"{pin} is under {row.license}, which pipeline/licenses.py does not allow here")
    return found


def look_up(versions: Iterable[tuple[str, str]], service: str | None) -> int:
    """Let `uv audit` print the known vulnerabilities of these versions; return its exit status.

    It audits only uv's own projects, so this writes one whose lock pins exactly these versions.
    """
    packages = [
        f'name = "{name}"\nversion = "{version}"\nsource = {{ registry = "." }}\n' for name, version in versions
    ]
    needed = ", ".join(f"{{ {package.strip().replace(chr(10), ', ')} }}" for package in packages)
    own = f'[[package]]\n{HEADER}source = {{ virtual = "." }}\ndependencies = [{needed}]\n'
    with tempfile.TemporaryDirectory() as folder:
        project, lock = Path(folder) / "pyproject.toml", Path(folder) / "uv.lock"
        project.write_text(f'[project]\n{HEADER}requires-python = ">=3.11"\n')
        lock.write_text("\n[[package]]\n".join([f'version = 1\nrequires-python = ">=3.11"\n\n{own}', *packages]))
        command = [find_uv_bin(), "audit", "--frozen", "--no-config", "--preview-features", "audit-command"]
        return subprocess.run([*command, *(["--service-url", service] if service else [])], cwd=folder).returncode
