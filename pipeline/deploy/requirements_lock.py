"""Read a lock file (exact package versions with file hashes); read and write the list of the packages' licenses."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pipeline.data.files import replacing
from pipeline.errors import ArtifactError

LOCK = "requirements.lock"
LICENSES = "licenses.csv"
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """One version of one package. A lock for all platforms may pin several versions, each with its own marker."""

    name: str  # normalized: lower case, hyphens
    version: str
    marker: str  # environment marker of PEP 508; empty: installed everywhere
    sha256: tuple[str, ...]  # of its files; an installer takes the file for its platform

    @property
    def purl(self) -> str:
        """The package URL, by which tools look up packages."""
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


class Licensed(NamedTuple):
    """A row of licenses.csv."""

    package: str
    version: str
    license: str  # SPDX expression
    source: str  # `metadata` of the package, or a note of the person who looked it up


def read_lock(path: Path) -> list[Pin]:
    """Return the pins of a lock file, in the order of its lines.

    Raises:
        ArtifactError: the file is missing, or a line is not exactly one version and the SHA-256 of its files. An
            address or an option would install other files on another machine.
    """
    lines = _text(path).replace("\\\n", " ").splitlines()
    return [_pin(path, line) for line in lines if line.strip() and not line.startswith("#")]


def _pin(path: Path, line: str) -> Pin:
    required, digests = HASH.sub("", line).strip(), HASH.findall(line)

    def refused(why: str) -> ArtifactError:
        return ArtifactError(f"{path}: {required[:80]!r} {why}; write the lock again with `make lock`")

    try:
        requirement = Requirement(required)
    except InvalidRequirement as error:
        raise refused("is not a requirement of PEP 508") from error
    versions = [s.version for s in requirement.specifier if s.operator == "==" and "*" not in s.version]
    if len(versions) != 1 or len(requirement.specifier) != 1 or requirement.url or requirement.extras:
        raise refused("does not pin one version as NAME==VERSION")
    if not digests:
        raise refused("has no hash (--hash), so any file of that name could be installed")
    return Pin(canonicalize_name(requirement.name), versions[0], str(requirement.marker or ""), tuple(digests))


def read_licenses(path: Path) -> dict[tuple[str, str], Licensed]:
    """Return the rows of a list of licenses, by package and version.

    Raises:
        ArtifactError: the file is missing or is not such a list.
    """
    try:
        rows = list(csv.reader(_text(path).splitlines(), strict=True))
    except csv.Error as error:
        raise ArtifactError(f"{path} is not a CSV table ({error}); restore it from git") from error
    if rows[:1] != [list(Licensed._fields)] or any(len(row) != len(Licensed._fields) for row in rows):
        raise ArtifactError(f"{path} is not a table with columns {', '.join(Licensed._fields)}; restore it from git")
    return {(row[0], row[1]): Licensed(*row) for row in rows[1:]}


def write_licenses(path: Path, rows: Sequence[Licensed]) -> None:
    """Write a sorted list of licenses atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([Licensed._fields, *sorted(rows)])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); restore it from git, or run `make lock`") from error
