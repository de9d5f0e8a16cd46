"""What a version is called: RUN@v1.2.0 at the root, profiles/NAME:RUN@v1.2.0 in a profile; and the git tag of each."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gto.constants import Action, name_to_tag
from gto.tag import parse_name
from gto.versions import SemVer

from pipeline.errors import ArtifactError, ParamsError
from pipeline.versions.store import redacted


class VersionName(NamedTuple):
    name: str  # what DVC and GTO call the run: RUN, or profiles/NAME:RUN
    version: str  # v1.2.0

    @property
    def run(self) -> str:
        return self.name.rpartition(":")[2]

    @property
    def tag(self) -> str:
        """Git allows no colon in a tag, so GTO writes = for it."""
        return f"{name_to_tag(self.name)}@{self.version}"

    @property
    def bundle(self) -> str:
        """The bundle's folder inside the repository, with /."""
        return "/".join(filter(None, [self.name.rpartition(":")[0], "artifacts/release", self.run]))

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def version_name(text: str) -> VersionName:
    """Read RUN@VERSION or profiles/NAME:RUN@VERSION, the version with or without its v; raises ParamsError."""
    artifact, _, version = text.rpartition("@")
    name = VersionName(artifact, f"v{version.removeprefix('v')}")
    if parse_name(name.tag, raise_on_fail=False) != {**name._asdict(), "action": Action.REGISTER}:
        raise ParamsError(
            f"{text!r} names no version: write RUN@1.0.0, or profiles/NAME:RUN@1.0.0 for the run of a profile, with a "
            f"semantic version (https://semver.org). A run's name has letters, digits, and _ or - between them"
        )
    return name


def registered(tags: Iterable[str]) -> dict[str, list[str]]:
    """Return the versions of each artifact, oldest first and without those withdrawn; other tags are none of GTO's."""
    parsed = [parse_name(tag, raise_on_fail=False) for tag in tags]
    given, withdrawn = (
        {(tag["name"], tag["version"]) for tag in parsed if tag.get("action") == action}
        for action in (Action.REGISTER, Action.DEREGISTER)
    )
    found: dict[str, list[str]] = {}
    for name, version in sorted(given - withdrawn, key=lambda pair: SemVer.parse(pair[1])):
        found.setdefault(name, []).append(version)
    return found


def tags_of(repository: str) -> list[str]:
    """Return the tags of a folder in a working tree, or of what git can clone."""
    if Path(repository).is_dir():
        return git("tag", "--list", folder=repository).splitlines()
    refs = git("ls-remote", "--tags", "--refs", "--", repository).splitlines()
    return [ref.split("refs/tags/", 1)[1] for ref in refs]


def git(*arguments: str, folder: str | Path = ".") -> str:
    """Return what git prints; raises ArtifactError in git's own words."""
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ArtifactError(redacted(f"git {arguments[0]} failed in {folder}: {run.stderr or run.stdout}"))
    return run.stdout.rstrip("\n")
