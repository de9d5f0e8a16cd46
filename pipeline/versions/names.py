"""What a version is called: RUN@v1.2.0 at the root, profiles/NAME:RUN@v1.2.0 in a profile, and the git tag of each."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from gto.constants import Action, fullname_re, name_to_tag
from gto.tag import parse_name
from gto.versions import SemVer

from pipeline.errors import SegdistillError

RELEASES = "artifacts/release"  # inside a profile's folder; one folder of it is one bundle


class VersionNameError(SegdistillError):
    """A name that GTO and DVC cannot take for a version."""


class VersionName(NamedTuple):
    folder: str  # of the profile inside the repository, with /; empty at the root
    run: str
    version: str  # v1.2.0

    @property
    def artifact(self) -> str:
        """What DVC and GTO call the run: `dvc artifacts get URL ARTIFACT --rev VERSION` finds it by this."""
        return f"{self.folder}:{self.run}" if self.folder else self.run

    @property
    def tag(self) -> str:
        """Git allows no colon in a tag, so GTO writes = for it."""
        return f"{name_to_tag(self.artifact)}@{self.version}"

    @property
    def bundle(self) -> str:
        """The bundle's folder inside the repository."""
        return "/".join(part for part in (self.folder, RELEASES, self.run) if part)

    def __str__(self) -> str:
        return f"{self.artifact}@{self.version}"


def version_name(folder: str, run: str, version: str) -> VersionName:
    """Check the parts of a name; `version` may stand with or without its v.

    Raises:
        VersionNameError: not a semantic version, or a run that GTO cannot name.
    """
    with_v = version if version.startswith("v") else f"v{version}"
    if not SemVer.is_valid(with_v):
        raise VersionNameError(
            f"{version!r} is not a semantic version: write MAJOR.MINOR.PATCH, for example 1.2.0 or 1.2.0-rc.1 "
            f"(https://semver.org)"
        )
    name = VersionName(folder, run, with_v)
    if not fullname_re.match(name.artifact) or ":" in run:
        raise VersionNameError(
            f"{name.artifact!r} is no name for a registered model: a run begins and ends with a letter or a digit and "
            f"has only letters, digits, _ and - between them. Rename the run in params.yaml"
        )
    return name


def parse_version_name(text: str) -> VersionName:
    """Read RUN@VERSION or profiles/NAME:RUN@VERSION.

    Raises:
        VersionNameError: the text has another form.
    """
    artifact, at, version = text.rpartition("@")
    if not at or not artifact:
        raise VersionNameError(
            f"{text!r} does not name a version: write RUN@VERSION, for example pspnet_r18_gdd@1.0.0, or "
            f"profiles/camvid:pspnet_r18_gdd@1.0.0 for a run of a profile"
        )
    folder, _, run = artifact.rpartition(":")
    return version_name(folder.strip("/"), run, version)


class Registered(NamedTuple):
    """What the tags of a repository say about one artifact."""

    versions: list[str]  # oldest first, those withdrawn left out
    withdrawn: list[str]


def registered(tags: Iterable[str], artifact: str) -> Registered:
    """Pick one artifact's versions from all tags; tags that are not GTO's are none of ours."""
    found: dict[Action, set[str]] = {Action.REGISTER: set(), Action.DEREGISTER: set()}
    for tag in tags:
        parsed = parse_name(tag, raise_on_fail=False)
        if parsed and parsed["name"] == artifact and parsed["action"] in found:
            found[parsed["action"]].add(parsed["version"])
    withdrawn = found[Action.DEREGISTER]
    return Registered(_by_age(found[Action.REGISTER] - withdrawn), _by_age(withdrawn))


def all_registered(tags: Collection[str]) -> list[VersionName]:
    """Every version of every artifact, those withdrawn left out."""
    parsed = [parse_name(tag, raise_on_fail=False) for tag in tags]
    artifacts = sorted({tag["name"] for tag in parsed if tag})
    return [
        parse_version_name(f"{name}@{version}") for name in artifacts for version in registered(tags, name).versions
    ]


def _by_age(versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=SemVer.parse)
