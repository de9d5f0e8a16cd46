"""Give a bundle a version: its objects go to a DVC remote, and when they are there and sound, the commit gets a tag."""

from pathlib import Path
from typing import Any, NamedTuple

from gto.api import register
from gto.exceptions import GTOException
from scmrepo.exceptions import SCMError

from pipeline.deploy.bundle.verify import BundleRefused, verify
from pipeline.errors import SegdistillError
from pipeline.versions.names import RELEASES, VersionName, registered, version_name
from pipeline.versions.project import artifact_path, changes, opened, output, remote_settings, remote_store
from pipeline.versions.store import MISSING, StoredObject, damaged, inspect, listed_objects, remove, upload
from pipeline.versions.tree import all_tags, git, repository_root, uncommitted

SHOWN = 8  # changed files in one message


class PublishRefused(SegdistillError):
    """A version that would not be what it says; nothing was registered."""


class Published(NamedTuple):
    name: VersionName
    remote: str
    objects: int
    uploaded: int  # the others were there already
    verified: str  # what the check of the bundle found, in words


def publish(run: str, version: str, remote: str, public_key: Path | None, profile: Path) -> Published:
    """Check, upload, check what arrived, and only then register: a tag never names what cannot be fetched.

    Args:
        remote: name of a DVC remote; empty for the default one.
        public_key: that the bundle's signature must fit; without it only the hashes of the manifest are checked.
        profile: folder of the dvc.yaml that makes the run.

    Raises:
        PublishRefused: the working tree, the stages, the bundle or the remote is not in a state to publish.
        VersionNameError, GitError, ProjectError, StoreError, DamagedObjects: see the other files here.
    """
    root = repository_root(profile)
    folder = "/".join(profile.resolve().relative_to(root.resolve()).parts)
    name = version_name(folder, run, version)
    commit = git("rev-parse", "HEAD", folder=root)
    require_new(name, all_tags(root), git("tag", "--points-at", commit, folder=root).splitlines())
    require_committed(name, uncommitted(root, folder))
    with opened(root) as repo:
        if artifact_path(repo, folder, run) != f"{RELEASES}/{run}":
            raise PublishRefused(_how_to_declare(name))
        settings = remote_settings(repo, remote)
        require_no_secrets(settings.name, settings.secrets)
        store = remote_store(repo, settings.name)
        require_verified(settings.name, settings.committed, settings.verified)
        found = output(repo, name.bundle)
        outdated = changes(repo, found.stage)
        if outdated:
            raise PublishRefused(
                f"{name.bundle} is not what the stages would make now; changed: {'; '.join(outdated[:SHOWN])}. "
                f"Run `dvc repro {found.stage}`, commit, and publish again"
            )
        verified = require_released(root / name.bundle, run, public_key)
        cache = repo.cache.local
        objects = listed_objects(cache, found.object, f" of {name.bundle}")
        here = inspect(cache, objects, trust_etag=False)
        if here:
            raise damaged(
                here, f" of {name.bundle}", f"Delete them in DVC's cache and run `dvc commit --force {found.stage}`"
            )
        uploaded = send(cache, store, objects, name)
    _register(root, name, commit)
    return Published(name, settings.name, len(objects), uploaded, verified)


def require_new(name: VersionName, tags: list[str], tags_of_commit: list[str]) -> None:
    """A version is given once, and a commit has one version of a run.

    Raises:
        PublishRefused: names what is in the way.
    """
    known = registered(tags, name.artifact)
    if name.version in known.versions or name.version in known.withdrawn:
        taken = "was withdrawn" if name.version in known.withdrawn else "exists already"
        newest = known.versions[-1] if known.versions else "none"
        raise PublishRefused(f"{name} {taken}; a version is given once (newest: {newest}). Choose a higher one")
    here = registered(tags_of_commit, name.artifact).versions
    if here:
        raise PublishRefused(f"this commit is {name.artifact}@{here[-1]} already; one commit has one version of a run")


def require_committed(name: VersionName, changed: list[str]) -> None:
    """A tag names a commit, so what made the bundle has to be in it.

    Raises:
        PublishRefused: lists the files.
    """
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise PublishRefused(
            f"not committed: {', '.join(changed[:SHOWN])}{more}. {name} would name a commit without them; commit first"
        )


def require_verified(remote: str, committed: bool, verified: bool) -> None:
    """Who fetches reads the remote from the tagged commit, and DVC believes it blindly unless told otherwise.

    Raises:
        PublishRefused: says which command to run.
    """
    if not committed:
        raise PublishRefused(
            f"remote {remote} is configured on this machine only, so nobody else could fetch the version: write it "
            f"into .dvc/config with `dvc remote add --project {remote} URL` and commit (keys stay in config.local)"
        )
    if not verified:
        raise PublishRefused(
            f"remote {remote} does not verify: `dvc pull` would take damaged objects from it without a word. Run "
            f"`dvc remote modify {remote} verify true` and commit .dvc/config"
        )


def require_no_secrets(remote: str, options: list[str]) -> None:
    """Who gets the tag gets the file of the remote's section, in which a key is everybody's.

    Raises:
        PublishRefused: names the options, not what they say.
    """
    if options:
        raise PublishRefused(
            f"remote {remote} has credentials in .dvc/config, which git hands out with every version: "
            f"{', '.join(options)}. Take them out, keep them in .dvc/config.local (`dvc remote modify --local {remote} "
            f"...`) or in the environment, and have them changed where they were issued: git remembers them"
        )


def require_released(bundle: Path, run: str, public_key: Path | None) -> str:
    """Only an intact bundle that passed its gates gets a version. Returns what the check found, in words.

    Raises:
        PublishRefused: the bundle is damaged, belongs to another run, or was rejected.
    """
    try:
        found = verify(bundle, public_key)
    except BundleRefused as error:
        raise PublishRefused(f"{bundle} is not fit to be published: {error}") from error
    if found.run != run:
        raise PublishRefused(f"{bundle} holds run {found.run!r}, not {run!r}; run `dvc repro` again")
    if found.status != "released":
        raise PublishRefused(
            f"{run} is {found.status}: {'; '.join(found.reasons) or 'no reason given'}. What fails its gates gets no "
            f"version; they stand in params.yaml"
        )
    if found.unlisted:
        raise PublishRefused(f"{bundle} has files that its manifest does not list: {', '.join(found.unlisted)}")
    return found.in_words()


def send(cache: Any, store: Any, objects: list[StoredObject], name: VersionName) -> int:
    """Upload what the remote lacks and look again whether it arrived. Returns how many were uploaded.

    Raises:
        DamagedObjects: the remote held another content under an object's name before, or has received another (this is
            removed again).
    """
    of = f" of {name.bundle}"
    found = inspect(store, objects, trust_etag=True)
    spoiled = [damage for damage in found if damage.problem != MISSING]
    if spoiled:
        raise damaged(spoiled, of, "Delete them in the remote and publish again: DVC never overwrites an object")
    lacking = [damage.object for damage in found]
    upload(cache, store, lacking)
    lost = inspect(store, lacking, trust_etag=True)
    if lost:
        remove(store, lost)
        raise damaged(lost, of, f"So it arrived, and was removed again; {name} was not registered. Publish again")
    return len({entry.name for entry in lacking})


def _how_to_declare(name: VersionName) -> str:
    return (
        f"dvc.yaml does not declare {name.run} as an artifact, so `dvc artifacts get` could not find it. Add it to "
        f"dvc.yaml, and to the copies in profiles/, and commit:\n"
        f"artifacts:\n  {name.run}:\n    type: model\n    path: {RELEASES}/{name.run}"
    )


def _register(root: Path, name: VersionName, commit: str) -> None:
    try:
        register(repo=str(root), name=name.artifact, ref=commit, version=name.version, message=f"Release {name}")
    except (GTOException, SCMError, OSError) as error:
        raise PublishRefused(
            f"the tag {name.tag} could not be made: {error}. The objects are in the remote, no version points to them; "
            f"mend the cause and publish again"
        ) from error
