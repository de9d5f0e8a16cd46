"""Find versions among git's tags, read DVC's cache and remotes, and check that each object matches its name.

A version is called RUN@v1.2.0 at the root, profiles/NAME:RUN@v1.2.0 in a profile. DVC names an object by the MD5 of its
content, but does not check it: it checks out, pulls and pushes a damaged object without an error. So this module hashes
every object. A store is what DVC calls an object database; it has no public type.
"""

import errno
import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from gto.constants import Action, name_to_tag
from gto.tag import parse_name
from gto.versions import SemVer

from pipeline.errors import ArtifactError, MachineError, ParamsError, SegdistillError

CONNECTIONS = 4  # at a time
TIMEOUTS = {"connect_timeout": 5, "read_timeout": 30}  # s, for S3, unless .dvc/config sets them
SHOWN = 10  # damaged objects in one message
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
OBJECT_NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")


class VersionName(NamedTuple):
    name: str  # what DVC and GTO call the run: RUN, or profiles/NAME:RUN
    version: str  # v1.2.0

    @property
    def run(self) -> str:
        return self.name.rpartition(":")[2]

    @property
    def tag(self) -> str:
        """Return git's tag; git allows no colon in a tag, so GTO writes = for it."""
        return f"{name_to_tag(self.name)}@{self.version}"

    @property
    def bundle(self) -> str:
        """Return the bundle's folder inside the repository, with /."""
        return "/".join(filter(None, [self.name.rpartition(":")[0], "artifacts/release", self.run]))

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class StoredObject(NamedTuple):
    name: str  # MD5 of the content; .dir after it for the list of a folder's files
    file: str  # its path inside the folder with /, or a description


def version_name(text: str) -> VersionName:
    """Read RUN@VERSION or profiles/NAME:RUN@VERSION, with or without the v; raise ParamsError for any other text."""
    artifact, _, version = text.rpartition("@")
    name = VersionName(artifact, f"v{version.removeprefix('v')}")
    if parse_name(name.tag, raise_on_fail=False) != {**name._asdict(), "action": Action.REGISTER}:
        raise ParamsError(
            f"{text!r} is not the name of a version. Write RUN@1.0.0, or profiles/NAME:RUN@1.0.0 for the run of a "
            f"profile, with a semantic version (https://semver.org). A run's name has letters, digits, and _ or - "
            f"between them"
        )
    return name


def registered(tags: Iterable[str]) -> list[VersionName]:
    """Return the versions among git's tags, lowest first and without withdrawn ones."""
    parsed = [parse_name(tag, raise_on_fail=False) for tag in tags]
    given, withdrawn = (
        {VersionName(tag["name"], tag["version"]) for tag in parsed if tag.get("action") == action}
        for action in (Action.REGISTER, Action.DEREGISTER)
    )
    return sorted(given - withdrawn, key=lambda version: SemVer.parse(version.version))


def tags_of(repository: str) -> list[str]:
    """Return the tags of a folder in a working tree, or of an address that git can clone."""
    if Path(repository).is_dir():
        return git("tag", "--list", folder=repository).splitlines()
    refs = git("ls-remote", "--tags", "--refs", "--", repository).splitlines()
    return [ref.split("refs/tags/", 1)[1] for ref in refs]


def git(*arguments: str, folder: str | Path = ".") -> str:
    """Return what git prints; raise ArtifactError with git's message if it fails."""
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ArtifactError(redacted(f"git {arguments[0]} failed in {folder}: {run.stderr or run.stdout}"))
    return run.stdout.rstrip("\n")


def redacted(text: object) -> str:
    """Return a message in one line, without users and passwords in addresses, because messages end up in logs."""
    return CREDENTIALS.sub("", " ".join(str(text).split()))


@contextmanager
def opened(repository: str | Path, revision: str = "") -> Iterator[Repo]:
    """Open a DVC project: a working tree, or a revision of any git repository.

    Raises MachineError if another dvc command holds the lock; DVC's other errors become ArtifactError.
    """
    try:
        with Repo.open(str(repository), rev=revision) if revision else Repo(str(repository)) as repo:
            yield repo
    except LockError as error:
        raise MachineError(
            f"another dvc command is running in {repository}, whose profiles share one lock; "
            f"run this again when it has ended ({error})"
        ) from error
    except DvcException as error:
        raise ArtifactError(redacted(f"DVC failed in {repository}: {error}")) from error


@contextmanager
def reaching(store: Any) -> Iterator[None]:
    """Turn errors of the access to a store into MachineError."""
    try:
        yield
    except SegdistillError:
        raise
    except Exception as error:  # the clients behind DVC's remotes share no base class
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # the local disk is full
        said = redacted(f"{type(error).__name__}: {error}")
        raise MachineError(
            f"{address(store)} does not answer as it should: {said}. Usual causes: the server is down, its address in "
            f".dvc/config is wrong, the credentials are missing, the bucket does not exist. Nothing incomplete was "
            f"kept: fix the cause and run the same command again"
        ) from error


def remote_store(repo: Repo, name: str | None) -> Any:
    """Return the objects of a remote; without a name, those of the default remote."""
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")  # of the client, in each of the 5 attempts of S3's file system
    for config in repo.config["remote"].values():
        if str(config.get("url", "")).startswith("s3://"):
            config.update({**TIMEOUTS, **config})
    return repo.cloud.get_remote_odb(name or None)


def address(store: Any, name: str = "") -> str:
    """Return the address of a store, or of one of its objects: a URL or a path."""
    return redacted(store.fs.unstrip_protocol(store.oid_to_path(name) if name else store.path))


def bundle_object(repo: Repo, path: str) -> tuple[str, Any]:
    """Return the object name of a folder and the DVC stage that writes it; `path` starts at the repository's root."""
    (out,) = repo.find_outs_by_path(repo.fs.join(repo.root_dir, *path.split("/")))
    if not out.hash_info or not out.hash_info.isdir:
        raise ArtifactError(f"dvc.lock has no {path} yet; run `dvc repro {out.stage.name}` and commit")
    return str(out.hash_info.value), out.stage


def listed_objects(store: Any, folder: str, of: str) -> list[StoredObject]:
    """Return the object `folder`, which is a list of files, and all objects that it lists.

    `of` describes it in messages. Raises ArtifactError if the list is missing or damaged, or names a path outside its
    folder.
    """
    own = StoredObject(folder, "the list of the files")
    require_none(damages(store, [own], of))
    with reaching(store):
        tree = Tree.load(store, HashInfo("md5", folder))
    entries = [StoredObject(str(info and info.value), "/".join(parts)) for parts, _, info in tree]
    for entry in entries:
        if not OBJECT_NAME.fullmatch(entry.name) or not stays_inside(entry.file):
            raise ArtifactError(f"{address(store, folder)} lists {entry.file!r} as {entry.name!r}, but DVC never does")
    return [own, *entries]


def stays_inside(file: str) -> bool:
    """Return whether a path with / names a file below a folder, and is in its normal form."""
    parts = PurePosixPath(file).parts
    return bool(parts) and file == "/".join(parts) and not {"..", "/"} & set(parts) and "\\" not in file


def damages(store: Any, objects: Sequence[StoredObject], of: str = "", out: Path | None = None) -> list[str]:
    """Hash objects, or copies of them in the folder `out`; return a line for each missing or damaged object."""

    def problem(entry: StoredObject) -> str:
        path, fs = store.oid_to_path(entry.name), store.fs
        try:
            if out is not None:
                (out / entry.file).parent.mkdir(parents=True, exist_ok=True)
                fs.get_file(path, str(out / entry.file))
            with fs.open(path, "rb") if out is None else (out / entry.file).open("rb") as content:
                digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except FileNotFoundError:
            return "is missing"
        return "" if digest == entry.name.removesuffix(".dir") else f"has the MD5 {digest}"

    with reaching(store), ThreadPoolExecutor(CONNECTIONS) as pool:
        store.fs.exists(store.path)  # fail on a store that is down before many requests start
        found = zip(objects, pool.map(problem, objects), strict=True)
        return [f"object {o.name} ({o.file}{of}) {said}: {address(store, o.name)}" for o, said in found if said]


def require_none(damages: Sequence[str], advice: str = "") -> None:
    """Raise one ArtifactError that names the first SHOWN damaged objects, if there are any."""
    if damages:
        rest = f"and {len(damages) - SHOWN} more" if len(damages) > SHOWN else ""
        raise ArtifactError("\n".join(filter(None, [*damages[:SHOWN], rest, advice])))
