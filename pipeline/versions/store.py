"""Objects in DVC's cache and in its remotes, and whether they are what their name says.

An object is named by the MD5 of its content. DVC believes the name: a damaged object is checked out, pulled and pushed
without a word. So everything is hashed here. A store is what DVC calls an object database; it has no public type.
"""

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any, BinaryIO, NamedTuple

from pipeline.errors import SegdistillError
from pipeline.versions.redaction import without_credentials

CONNECTIONS = 4  # at a time
CHUNK = 1 << 20  # bytes
PATIENCE_S = 60.0  # for an upload, and besides
SLOWEST = 100_000  # bytes/s
SHOWN = 10  # damaged objects in one message
FOLDER = ".dir"  # ends the name of an object that lists the files of a folder
OBJECT_NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")
LIST = "the list of the files"
MISSING = "is missing"


class StoreError(SegdistillError):
    """A store that cannot be reached, or holds what DVC never put there."""


class DamagedObjects(SegdistillError):
    """Objects that are missing or whose content is not what their name says; each is named."""


class StoredObject(NamedTuple):
    name: str  # MD5 of the content; .dir after it for the list of a folder's files
    file: str  # what it is: a path inside the folder, with /, or LIST


class Damage(NamedTuple):
    object: StoredObject
    problem: str  # MISSING, or the MD5 it has
    address: str  # of the object in its store


@contextmanager
def reaching(store: Any) -> Iterator[None]:
    """Translate what goes wrong on the way to a store.

    Raises:
        StoreError: names the store and what its client said.
    """
    try:
        yield
    except SegdistillError:
        raise
    except Exception as error:  # the clients behind DVC's remotes share no base class
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # no fault of the store
        said = without_credentials(" ".join(str(error).split()))
        raise StoreError(
            f"{address(store)} does not answer as it should: {type(error).__name__}: {said}. "
            f"Usual causes: the server is down, its address in .dvc/config is wrong, the credentials are missing, the "
            f"bucket does not exist. No version was registered and nothing half-fetched was kept: mend the cause and "
            f"run the same command again"
        ) from error


def address(store: Any, name: str = "") -> str:
    """Where a store, or one of its objects, lies: a URL, or a path for a folder."""
    return without_credentials(store.fs.unstrip_protocol(store.oid_to_path(name) if name else store.path))


def object_names(store: Any) -> set[str]:
    """All objects that lie in a store; other files there are none of DVC's."""
    with reaching(store):
        return {name for name in store.all() if OBJECT_NAME.fullmatch(name)}


def listed_objects(store: Any, folder: str, of: str = "") -> list[StoredObject]:
    """The object `folder` (a list of files) and, after it, all that it lists; `of` says of what, for errors.

    Raises:
        DamagedObjects: the list itself is missing or damaged, so that nothing in it can be believed.
        StoreError: an intact list names a path that leads out of its folder.
    """
    own = StoredObject(folder, LIST)
    with reaching(store):
        try:
            content = store.fs.cat_file(store.oid_to_path(folder))
        except FileNotFoundError:
            raise damaged([Damage(own, MISSING, address(store, folder))], of) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != folder.removesuffix(FOLDER):
        raise damaged([Damage(own, f"has the MD5 {found}", address(store, folder))], of)
    try:
        entries = [StoredObject(str(entry["md5"]), str(entry["relpath"])) for entry in json.loads(content)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{address(store, folder)} is no list of DVC's ({error!r}); nothing was read") from error
    for entry in entries:
        if not OBJECT_NAME.fullmatch(entry.name) or not stays_inside(entry.file):
            raise StoreError(
                f"{address(store, folder)} lists {entry.file!r} as object {entry.name!r}: no name of a file inside a "
                f"folder. DVC did not make this list; nothing it names was read"
            )
    return [own, *entries]


def stays_inside(file: str) -> bool:
    """Whether a path with / names a file below a folder, in the plainest way to write it."""
    parts = PurePosixPath(file).parts
    return bool(parts) and file == "/".join(parts) and not {"..", "/"} & set(parts) and "\\" not in file


def inspect(store: Any, objects: Sequence[StoredObject], *, trust_etag: bool) -> list[Damage]:
    """Which objects are missing or not what their name says.

    Args:
        trust_etag: S3 tells the MD5 of what it received with an object's description; where that is the right one, the
            content is not loaded. After an upload in parts, or with a key of its own, a server tells another ETag:
            then the content is loaded.
    """

    def problem(entry: StoredObject) -> str:
        path = store.oid_to_path(entry.name)
        if trust_etag and store.fs.info(path).get("ETag", "").strip('"') == entry.name.removesuffix(FOLDER):
            return ""
        with store.fs.open(path, "rb") as content:
            return _difference(entry.name, content)

    return _damages(store, objects, problem)


def load(store: Any, objects: Sequence[StoredObject], out: Path) -> list[Damage]:
    """Copy objects out of a store to `out`/file and hash each where it arrived. Returns those that are not right."""

    def problem(entry: StoredObject) -> str:
        to = out / entry.file
        to.parent.mkdir(parents=True, exist_ok=True)
        store.fs.get_file(store.oid_to_path(entry.name), str(to))
        with to.open("rb") as content:
            return _difference(entry.name, content)

    return _damages(store, objects, problem)


def _damages(store: Any, objects: Sequence[StoredObject], problem_of: Callable[[StoredObject], str]) -> list[Damage]:
    """Look at several objects at a time; a store that is down is noticed before many ask it."""

    def problem(entry: StoredObject) -> str:
        try:
            return problem_of(entry)
        except FileNotFoundError:
            return MISSING

    with reaching(store), ThreadPoolExecutor(CONNECTIONS) as pool:
        store.fs.exists(store.path)
        problems = list(pool.map(problem, objects))
    return [
        Damage(entry, problem, address(store, entry.name))
        for entry, problem in zip(objects, problems, strict=True)
        if problem
    ]


def _difference(name: str, content: BinaryIO) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := content.read(CHUNK):
        digest.update(chunk)
    return "" if digest.hexdigest() == name.removesuffix(FOLDER) else f"has the MD5 {digest.hexdigest()}"


def upload(source: Any, target: Any, objects: Sequence[StoredObject]) -> None:
    """Copy objects from one store to another; lists come last, so that who finds one finds what it lists.

    What arrives is not looked at here: DVC would load all of it again to do so, `inspect` asks for the ETag.

    Raises:
        StoreError: the target does not take one, or says nothing for longer than the slowest of lines would take.
    """
    unique = dict.fromkeys(entry.name for entry in objects)
    lists = [name for name in unique if name.endswith(FOLDER)]
    files = [name for name in unique if not name.endswith(FOLDER)]
    with reaching(target):
        for names in filter(None, (files, lists)):
            paths = [source.oid_to_path(name) for name in names]
            seconds = PATIENCE_S + sum(source.fs.size(path) for path in paths) / SLOWEST
            add = partial(target.add, paths, source.fs, names, check_exists=False, verify=False, jobs=CONNECTIONS)
            _within(seconds, add)


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Do it in a thread that is left behind if it takes longer.

    The client of S3 has a limit for an answer, but none for the word to go on that it awaits before it sends a body: a
    server that hangs there would be waited for for ever.
    """
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        done.result(seconds)
    except TimeoutError as error:
        if done.done():
            raise  # the work's own
        raise TimeoutError(f"an upload was not done after {seconds:.0f} s") from error


def remove(store: Any, damages: Sequence[Damage]) -> None:
    """Take damaged objects out of a store, where there is one to take out."""
    with reaching(store):
        for name in {damage.object.name for damage in damages if damage.problem != MISSING}:
            store.delete(name)


def damaged(damages: Sequence[Damage], of: str = "", advice: str = "") -> DamagedObjects:
    """One error that names every object with what it is; `of` says of what bundle, `advice` what to do."""
    lines = [
        f"object {damage.object.name} ({damage.object.file}{of}) {damage.problem}: {damage.address}"
        for damage in damages[:SHOWN]
    ]
    rest = [f"and {len(damages) - SHOWN} more"] if len(damages) > SHOWN else []
    return DamagedObjects("\n".join(filter(None, [*lines, *rest, advice])))
