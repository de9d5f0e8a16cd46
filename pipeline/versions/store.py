"""Read DVC's cache and remotes, and check that each object is what its name says.

DVC names an object by the MD5 of its content and believes the name: it checks out, pulls and pushes a damaged one
without a word. So everything is hashed here. A store is what DVC calls an object database; it has no public type.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from pipeline.errors import ArtifactError, MachineError, SegdistillError

CONNECTIONS = 4  # at a time
TIMEOUTS = {"connect_timeout": 5, "read_timeout": 30}  # s, of S3; where .dvc/config says nothing
SHOWN = 10  # damaged objects in one message
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
OBJECT_NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")
MISSING = "is missing"


class StoredObject(NamedTuple):
    name: str  # MD5 of the content; .dir after it for the list of a folder's files
    file: str  # what it is: a path inside the folder with /, or words


class Damage(NamedTuple):
    object: StoredObject
    problem: str  # MISSING, or the MD5 it has
    address: str


def redacted(text: object) -> str:
    """Return a message in one line, without the user and the password of its addresses: messages land in logs."""
    return CREDENTIALS.sub("", " ".join(str(text).split()))


@contextmanager
def opened(repository: str | Path, revision: str = "") -> Iterator[Repo]:
    """Open the DVC project of a working tree, or of a revision of any git repository.

    Raises:
        ArtifactError: DVC refuses something while the project is open; in DVC's own words.
    """
    try:
        with Repo.open(str(repository), rev=revision) if revision else Repo(str(repository)) as repo:
            yield repo
    except DvcException as error:
        raise ArtifactError(redacted(f"DVC cannot go on in {repository}: {error}")) from error


@contextmanager
def reaching(store: Any) -> Iterator[None]:
    """Translate what goes wrong on the way to a store into MachineError."""
    try:
        yield
    except SegdistillError:
        raise
    except Exception as error:  # the clients behind DVC's remotes share no base class
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # no fault of the store
        raise unreachable(store, f"{type(error).__name__}: {error}") from error


def unreachable(store: Any, said: str) -> MachineError:
    return MachineError(
        f"{address(store)} does not answer as it should: {redacted(said)}. Usual causes: the server is down, its "
        f"address in .dvc/config is wrong, the credentials are missing, the bucket does not exist. Nothing half-done "
        f"was kept: mend the cause and run the same command again"
    )


def remote_store(repo: Repo, name: str | None) -> Any:
    """Return the objects of a remote; without a name, of the default one."""
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")  # of the client, for each of the five of S3's file system
    for config in repo.config["remote"].values():
        if str(config.get("url", "")).startswith("s3://"):
            config.update({**TIMEOUTS, **config})
    return repo.cloud.get_remote_odb(name or None)


def address(store: Any, name: str = "") -> str:
    """Return where a store, or one of its objects, lies: a URL, or a path."""
    return redacted(store.fs.unstrip_protocol(store.oid_to_path(name) if name else store.path))


def bundle_object(repo: Repo, path: str) -> tuple[str, Any]:
    """Return the name of the object of a folder, given from the repository's root, and DVC's stage that writes it."""
    (out,) = repo.find_outs_by_path(repo.fs.join(repo.root_dir, *path.split("/")))
    if not out.hash_info or not out.hash_info.isdir:
        raise ArtifactError(f"dvc.lock does not know {path} yet: run `dvc repro {out.stage.name}` and commit")
    return str(out.hash_info.value), out.stage


def listed_objects(store: Any, folder: str, of: str) -> list[StoredObject]:
    """Return the object `folder`, which is a list of files, and all that it lists; `of` says what it is, for messages.

    Raises:
        ArtifactError: the list is missing or damaged, or names a path that leads out of its folder.
    """
    own = StoredObject(folder, "the list of the files")
    if found := damages(store, [own]):
        raise damaged(found, of)
    with reaching(store):
        tree = Tree.load(store, HashInfo("md5", folder))
    entries = [StoredObject(str(info and info.value), "/".join(parts)) for parts, _, info in tree]
    for entry in entries:
        if not OBJECT_NAME.fullmatch(entry.name) or not stays_inside(entry.file):
            raise ArtifactError(f"{address(store, folder)} lists {entry.file!r} as {entry.name!r}, as DVC never does")
    return [own, *entries]


def stays_inside(file: str) -> bool:
    """Return whether a path with / names a file below a folder, in the plainest way to write it."""
    parts = PurePosixPath(file).parts
    return bool(parts) and file == "/".join(parts) and not {"..", "/"} & set(parts) and "\\" not in file


def damages(store: Any, objects: Sequence[StoredObject], out: Path | None = None) -> list[Damage]:
    """Hash objects, or the copies of them made in the folder `out`; return those that are missing or damaged."""

    def problem(entry: StoredObject) -> str:
        path, fs = store.oid_to_path(entry.name), store.fs
        try:
            if out is not None:
                (out / entry.file).parent.mkdir(parents=True, exist_ok=True)
                fs.get_file(path, str(out / entry.file))
            with fs.open(path, "rb") if out is None else (out / entry.file).open("rb") as content:
                digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except FileNotFoundError:
            return MISSING
        return "" if digest == entry.name.removesuffix(".dir") else f"has the MD5 {digest}"

    with reaching(store), ThreadPoolExecutor(CONNECTIONS) as pool:
        store.fs.exists(store.path)  # a store that is down is noticed before many ask it
        problems = list(pool.map(problem, objects))
    pairs = zip(objects, problems, strict=True)
    return [Damage(entry, problem, address(store, entry.name)) for entry, problem in pairs if problem]


def damaged(found: Sequence[Damage], of: str = "", advice: str = "") -> ArtifactError:
    """Return one error that names every damaged object with the file that it is."""
    lines = [f"object {d.object.name} ({d.object.file}{of}) {d.problem}: {d.address}" for d in found[:SHOWN]]
    rest = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return ArtifactError("\n".join(filter(None, [*lines, *rest, advice])))
