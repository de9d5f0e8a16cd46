"""The license of every locked package: read from what the packages say about themselves, kept beside the lock."""

import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from uv import find_uv_bin

from pipeline.deploy.locked import Licensed, Pin
from pipeline.supply.allowed import is_allowed

FROM_METADATA = "metadata"
MEANS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license v2": "Apache-2.0",
    "bsd": "LicenseRef-BSD",
    "bsd license": "LicenseRef-BSD",
    "gplv2 with linking exception": "LicenseRef-GPL-2.0-linking-exception",
    "gplv2 | eplv1": "GPL-2.0-only OR EPL-1.0",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What packages say in words of their own, in lower case, and the SPDX expression that it means."""

ELSEWHERE = (("3.11", "linux"), ("3.12", "linux"), ("3.12", "windows"), ("3.12", "macos"))
"""Python and platform for which files are tried of packages that are not installed here."""


def license_of(metadata: PackageMetadata) -> str | None:
    """The SPDX expression of what a package says about itself; None if that is nothing, or not clear.

    A whole license text, as old packages give it, is not compared: then the one classifier decides, if there is one.
    """
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    fields = [*metadata.get_all("License-Expression", []), *metadata.get_all("License", [])]
    said = [*fields, *(classifiers if len(classifiers) == 1 else [])]
    return next((expression for words in said if (expression := _expression(words))), None)


def _expression(words: str) -> str | None:
    try:
        return MEANS.get(words.lower()) or str(canonicalize_license_expression(words))
    except InvalidLicenseExpression:
        return None


def refreshed(pins: Iterable[Pin], listed: Mapping[tuple[str, str], Licensed]) -> tuple[list[Licensed], list[Pin]]:
    """Rows for what is pinned now, and the pins whose license nobody knows.

    Packages that are installed here in that very version are asked again, what a person looked up stays, and the
    rest (other platforms, other versions of Python) is fetched once, without being run.
    """
    rows, unknown = [], []
    for pin in pins:
        before = listed.get((pin.name, pin.version))
        if before is not None and (before.source != FROM_METADATA or installed(pin) is None):
            rows.append(before)
            continue
        metadata = installed(pin) or fetched(pin)
        license = license_of(metadata) if metadata is not None else None
        if license is None:
            unknown.append(pin)
        else:
            rows.append(Licensed(pin.name, pin.version, license, FROM_METADATA))
    return rows, unknown


def installed(pin: Pin) -> PackageMetadata | None:
    """What a package says about itself, if it is installed here in the pinned version."""
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        return None
    return found.metadata if found.version == pin.version else None


def fetched(pin: Pin) -> PackageMetadata | None:
    """What it says in a file from the package index whose hash is pinned; None if there is none that needs no build."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, target = Path(folder) / "wanted.txt", Path(folder) / "target"
        wanted.write_text(f"{pin} {' '.join(f'--hash=sha256:{digest}' for digest in pin.sha256)}\n", encoding="utf-8")
        asked = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        for python, platform in ELSEWHERE:
            place = ["--python-version", python, "--python-platform", platform, "--target", str(target)]
            done = subprocess.run([*asked, *place, "-r", str(wanted)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return next(iter(distributions(path=[str(target)]))).metadata
    return None


def objections(pins: Sequence[Pin], listed: Mapping[tuple[str, str], Licensed], allowed: frozenset[str]) -> list[str]:
    """What is wrong with the licenses of a lock, one line each: unknown, not what the package says, or not allowed."""
    pinned = {(pin.name, pin.version) for pin in pins}
    found = [
        f"{row.package}=={row.version} is listed and not locked" for key, row in listed.items() if key not in pinned
    ]
    for pin in pins:
        row, metadata = listed.get((pin.name, pin.version)), installed(pin)
        if row is None or not row.license:
            found.append(f"{pin} has no known license")
        elif row.source == FROM_METADATA and metadata is not None and license_of(metadata) != row.license:
            found.append(f"{pin} is listed under {row.license}, and says {license_of(metadata) or 'nothing clear'}")
        elif not is_allowed(row.license, allowed):
            found.append(f"{pin} is under {row.license}, which is not allowed here (pipeline/supply/allowed.py)")
    return found
