"""Update licenses.csv beside each lock.

Asks the package index about packages that are not installed here: those for other platforms and versions of Python.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from uv import find_uv_bin

from pipeline.deploy.requirements_lock import LICENSES, LOCK, Licensed, Pin, read_licenses, read_lock, write_licenses
from pipeline.errors import ArtifactError

PERMISSIVE = frozenset({
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "ZPL-2.1", "Zlib", "LicenseRef-Public-Domain",
    "LicenseRef-BSD",  # the package does not say which BSD license
})  # fmt: skip
FOR_US = PERMISSIVE | {
    "EPL-1.0", "EPL-2.0", "LGPL-2.1", "LGPL-2.1-or-later", "MPL-2.0",
    "LicenseRef-GPL-2.0-linking-exception",  # libgit2: without conditions for programs that link with it
    "LicenseRef-NVIDIA-Proprietary",  # CUDA and TensorRT: free to use on NVIDIA's hardware, not to redistribute
}  # fmt: skip
LOCKS = {Path(): FOR_US, Path("segdistill_runtime/bundle_files"): PERMISSIVE}
"""Folders with a lock, and the licenses allowed there: a bundle's packages must have permissive ones."""

FROM_METADATA = "metadata"
SPDX = {  # packages' names of licenses, in lower case, that are no SPDX expressions
    "3-clause bsd license": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "bsd": "LicenseRef-BSD",
    "bsd license": "LicenseRef-BSD", "mit license": "MIT", "lgpl-2.1+": "LGPL-2.1-or-later", "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0", "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gplv2 with linking exception": "LicenseRef-GPL-2.0-linking-exception", "gplv2 | eplv1": "GPL-2.0-only OR EPL-1.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary", "apache": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0", "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0", "apache software license v2": "Apache-2.0",
}  # fmt: skip
PLACES = (("3.11", "linux"), ("3.12", "linux"), ("3.12", "windows"), ("3.12", "macos"))


def run(_: argparse.Namespace) -> None:
    unknown = []
    for folder in LOCKS:
        rows, unclear = refreshed(read_lock(folder / LOCK), read_licenses(folder / LICENSES))
        write_licenses(folder / LICENSES, rows)
        unknown += [f"{folder / LICENSES}: {pin}" for pin in unclear]
        print(f"{folder / LICENSES}: {len(rows)} packages")
    if unknown:
        raise ArtifactError(f"unclear license; add a row with the license and its source: {'; '.join(unknown)}")


def refreshed(pins: Sequence[Pin], listed: Mapping[tuple[str, str], Licensed]) -> tuple[list[Licensed], list[Pin]]:
    """Return a row for each pin, and the pins whose license is unclear. Rows that a person wrote stay."""
    rows, unclear = [], []
    for pin in pins:
        row, here = listed.get((pin.name, pin.version)), installed(pin)
        if row is not None and (row.source != FROM_METADATA or here is None):
            rows.append(row)
        elif license := license_of(here or fetched(pin)):
            rows.append(Licensed(pin.name, pin.version, license, FROM_METADATA))
        else:
            unclear.append(pin)
    return rows, unclear


def installed(pin: Pin) -> PackageMetadata | None:
    """Return the metadata of a package that is installed here in the pinned version."""
    found = next(iter(distributions(name=pin.name)), None)
    return found.metadata if found is not None and found.version == pin.version else None


def fetched(pin: Pin) -> PackageMetadata | None:
    """Return the metadata of a file from the package index whose hash is pinned; run none of its code."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, target = Path(folder) / "wanted.txt", Path(folder) / "target"
        wanted.write_text(f"{pin} {' '.join(f'--hash=sha256:{digest}' for digest in pin.sha256)}\n", encoding="utf-8")
        asked = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        for python, platform in PLACES:
            place = ["--python-version", python, "--python-platform", platform, "--target", str(target)]
            if subprocess.run([*asked, *place, "-r", str(wanted)], capture_output=True, check=False).returncode == 0:
                return next(iter(distributions(path=[str(target)]))).metadata
    return None


def license_of(metadata: PackageMetadata | None) -> str | None:
    """Return the SPDX expression of the license that a package states; None if it states none, or an unclear one."""
    if metadata is None:
        return None
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    fields = [*metadata.get_all("License-Expression", []), *metadata.get_all("License", [])]
    for words in [*fields, *(classifiers if len(classifiers) == 1 else [])]:
        try:
            return SPDX.get(words.lower()) or str(canonicalize_license_expression(words))
        except InvalidLicenseExpression:
            continue  # for example a whole license text
    return None


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Return whether one alternative of an SPDX expression (OR) has only allowed licenses (AND)."""
    while inner := re.search(r"\(([^()]*)\)", expression):
        verdict = "allowed" if is_allowed(inner[1], allowed) else "refused"
        expression = expression.replace(inner[0], verdict)
    terms = [[term.strip() for term in choice.split(" AND ")] for choice in expression.split(" OR ")]
    return any(all(term == "allowed" or term in allowed for term in choice) for choice in terms)
