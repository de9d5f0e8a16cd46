"""What a lock file pins: exact versions with the hashes of their files; and the list beside it of their licenses."""

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
    """One version of one package. A lock for all platforms may pin several of a package, each with its own marker."""

    name: str  # normalized: lower case, hyphens
    version: str
    marker: str  # where it is installed, in the words of PEP 508; empty: everywhere
    sha256: tuple[str, ...]  # of its files, of which an installer takes the one for its platform

    @property
    def purl(self) -> str:
        """Its name for tools that look up packages."""
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


class Licensed(NamedTuple):
    """A row of licenses.csv."""

    package: str
    version: str
    license: str  # SPDX expression
    source: str  # who says so: `metadata` of the package, or the words of a person who looked it up


def read_lock(path: Path) -> list[Pin]:
    """The pins of a lock file, as they stand there.

    Raises:
        ArtifactError: there is none, or a line is not exactly a version and the SHA-256 of its files. An address or an
            option would install other files on another machine.
    """
    lines = _text(path).replace("\\\n", " ").splitlines()
    return [_pin(path, line) for line in lines if line.strip() and not line.startswith("#")]


def _pin(path: Path, line: str) -> Pin:
    required, digests = HASH.sub("", line).strip(), HASH.findall(line)

    def refused(why: str) -> ArtifactError:
        return ArtifactError(f"{path}: {required[:80]!r} {why}; make it again with `make lock`")

    try:
        requirement = Requirement(required)
    except InvalidRequirement as error:
        raise refused("pins no package") from error
    versions = [s.version for s in requirement.specifier if s.operator == "==" and "*" not in s.version]
    if len(versions) != 1 or len(requirement.specifier) != 1 or requirement.url or requirement.extras:
        raise refused("is not one exact version")
    if not digests:
        raise refused("has no hash, so anything of that name could be installed")
    return Pin(canonicalize_name(requirement.name), versions[0], str(requirement.marker or ""), tuple(digests))


def read_licenses(path: Path) -> dict[tuple[str, str], Licensed]:
    """The rows of a list of licenses, by package and version; ArtifactError if there is none, or it is no such list."""
    try:
        rows = list(csv.reader(_text(path).splitlines(), strict=True))
    except csv.Error as error:
        raise ArtifactError(f"{path} is not a table ({error}); get it back from git") from error
    if rows[:1] != [list(Licensed._fields)] or any(len(row) != len(Licensed._fields) for row in rows):
        raise ArtifactError(f"{path} is not a table of {', '.join(Licensed._fields)}; get it back from git")
    return {(row[0], row[1]): Licensed(*row) for row in rows[1:]}


def write_licenses(path: Path, rows: Sequence[Licensed]) -> None:
    """Write the list, sorted, atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([Licensed._fields, *sorted(rows)])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); get it back from git, or run make lock") from error
