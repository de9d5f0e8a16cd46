"""Get a version back: the bundle of the tagged commit, each object hashed, the manifest checked, then put in place."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.deploy.bundle.verify import BundleRefused, verify
from pipeline.errors import SegdistillError
from pipeline.versions.names import VersionName, parse_version_name, registered
from pipeline.versions.project import opened, output, remote_store
from pipeline.versions.redaction import without_credentials
from pipeline.versions.store import damaged, listed_objects, load
from pipeline.versions.tree import GitError, all_tags, git


class FetchRefused(SegdistillError):
    """A version that is not there, or a bundle that is not what was published; nothing was left behind."""


class Fetched(NamedTuple):
    name: VersionName
    out: Path
    files: int
    verified: str  # what the check of the bundle found, in words


def fetch(text: str, repository: str, remote: str, public_key: Path | None, out: Path) -> Fetched:
    """Write the bundle of a version to `out`, which must not exist: all of it, or nothing.

    Nothing of the bundle is opened before its objects, its manifest and, with a key, its signature are checked.

    Args:
        text: RUN@VERSION, or profiles/NAME:RUN@VERSION.
        repository: a folder of a working tree, or whatever `git clone` takes.
        remote: name of a DVC remote; empty for the default one.
        public_key: that the bundle's signature must fit; without it only the hashes of the manifest are checked.

    Raises:
        FetchRefused: no such version, `out` is there already or cannot be made, or the bundle is refused.
        VersionNameError, GitError, ProjectError, StoreError, DamagedObjects: see the other files here.
    """
    name = parse_version_name(text)
    if os.path.lexists(out):
        raise FetchRefused(f"{out} exists; name another folder with --out, or remove it")
    with working_tree(repository, name) as root, arriving(out) as temporary:
        with opened(root, f"refs/tags/{name.tag}") as repo:
            store = remote_store(repo, remote)
            _, *files = listed_objects(store, output(repo, name.bundle).object, f" of {name}")
            spoiled = load(store, files, temporary)
        if spoiled:
            raise damaged(
                spoiled,
                f" of {name}",
                f"{name} cannot be fetched until the remote has these objects again: whoever still has an intact copy "
                f"deletes them there and runs `dvc push`",
            )
        verified = require_bundle(temporary, name, public_key)
    return Fetched(name, out, len(files), verified)


def require_bundle(bundle: Path, name: VersionName, public_key: Path | None) -> str:
    """Check what arrived. Returns what was found, in words.

    Raises:
        FetchRefused: the manifest, the signature or a file is not right, or it is the bundle of another run.
    """
    try:
        found = verify(bundle, public_key)
    except BundleRefused as error:
        raise FetchRefused(f"{name} was refused: {error}. Nothing of it was kept") from error
    if found.run != name.run:
        raise FetchRefused(f"the bundle under {name} is of run {found.run!r}; nothing of it was kept")
    return found.in_words()


@contextmanager
def arriving(out: Path) -> Iterator[Path]:
    """Give a new folder beside `out`; on success it is renamed, on failure removed.

    Raises:
        FetchRefused: no folder can be made there.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise FetchRefused(
            f"cannot make a folder beside {out}: {error.strerror}; name another one with --out"
        ) from error
    try:
        yield temporary
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def working_tree(repository: str, name: VersionName) -> Iterator[Path]:
    """A working tree that has the tag of a version: the one given, or a clone of it that is gone afterwards.

    Raises:
        FetchRefused: the repository has no such version, or it was withdrawn; says which it has.
        GitError: it cannot be reached.
    """
    if _is_working_tree(repository):
        root = Path(git("rev-parse", "--show-toplevel", folder=Path(repository)))
        require_registered(name, all_tags(root), f"{root} (`git fetch --tags` brings new ones)")
        yield root
        return
    here = Path.cwd()
    refs = git("ls-remote", "--tags", "--refs", "--", repository, folder=here).splitlines()
    require_registered(name, [ref.split("refs/tags/", 1)[1] for ref in refs], without_credentials(repository))
    with tempfile.TemporaryDirectory(prefix="segdistill-") as folder:
        clone = Path(folder) / "clone"
        git("clone", "--quiet", "--depth", "1", "--branch", name.tag, "--", repository, str(clone), folder=here)
        yield clone


def require_registered(name: VersionName, tags: list[str], where: str) -> None:
    """Name the versions there are if the one asked for is not among them."""
    known = registered(tags, name.artifact)
    if name.version in known.withdrawn:
        raise FetchRefused(f"{name} was withdrawn; {where} has {', '.join(known.versions) or 'no other'}")
    if name.version not in known.versions:
        others = ", ".join(known.versions) or "no version"
        raise FetchRefused(f"there is no {name} in {where}: of {name.artifact} it has {others}")


def _is_working_tree(repository: str) -> bool:
    if not Path(repository).is_dir():
        return False
    try:
        return git("rev-parse", "--is-inside-work-tree", folder=Path(repository)) == "true"
    except GitError:  # no repository at all: cloning it says so
        return False
