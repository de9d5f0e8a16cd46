"""Which MongoDB server FiftyOne uses: one of our own, in a folder of the profile, on the loopback interface.

FiftyOne would start one itself, but it joins whatever server the same user has running, in any folder, and leaves
hundreds of megabytes under the home folder. Where this machine cannot run one, FIFTYONE_DATABASE_URI names another.
"""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from pipeline.data.files import write_json
from pipeline.errors import SegdistillError
from pipeline.inspection.mongod import (
    ANSWER_MS,
    STOP_S,
    URI_VARIABLE,
    DatabaseError,
    ending,
    find_mongod,
    free_port,
    serves,
    start,
    stop,
    uri_of,
)

LOST = (
    "review.csv is as it was, and so are all files of the stages. Run the same command again: the database recovers by "
    "itself; of tags only those of the last second before may be missing"
)


class Server(NamedTuple):
    """A running server of ours."""

    pid: int  # of the process that started it and will end it
    port: int


@contextmanager
def database(folder: Path, share: bool) -> Iterator[str]:
    """Give the URI of a server that answers; one of our own is started, and ended with the context.

    Args:
        folder: of the profile's inspection; the data lie in `folder`/mongo.
        share: use the server of a running App, if there is one, and leave it running.

    Raises:
        DatabaseError: no server can be had, or it was lost while it was used.
    """
    try:
        with _chosen(folder, share) as uri:
            yield uri
    except Exception as error:
        lost = lost_database(error)
        if lost is None or isinstance(error, SegdistillError):
            raise
        raise DatabaseError(f"the database does not answer any more ({str(lost).split(',')[0]}). {LOST}") from error


def lost_database(error: BaseException | None) -> BaseException | None:
    """What the client of the database said, if an error came of that: FiftyOne has errors of its own for it, too."""
    while error is not None and not isinstance(error, PyMongoError | ConnectionError):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _chosen(folder: Path, share: bool) -> Iterator[str]:
    named = os.environ.get(URI_VARIABLE)
    running = _running(folder)
    if named:
        require_answer(named)
        yield named
    elif share and running is not None and _is_owned(folder):
        yield uri_of(running.port)
    else:
        with own_server(folder, find_mongod()) as uri:
            yield uri


@contextmanager
def own_server(folder: Path, binary: Path, port: int | None = None) -> Iterator[str]:
    """Run a server on the data in `folder`/mongo and give its URI.

    Where the server ends before the context does, the context is interrupted: whoever only serves what others ask for
    would never notice.

    Args:
        binary: of mongod.
        port: a free one by default.

    Raises:
        DatabaseError: another process has the folder, or mongod does not start or was ended from outside; the message
            says why.
    """
    data = (folder / "mongo").resolve()
    data.mkdir(parents=True, exist_ok=True)
    with _owned(folder):
        _end_orphan(folder)
        port = free_port() if port is None else port
        process = start(binary, data, port)
        try:
            write_json(folder / "mongod.json", Server(os.getpid(), port)._asdict())
            with _interrupted_without(process):
                yield uri_of(port)
        finally:
            stop(process)
            (folder / "mongod.json").unlink(missing_ok=True)


@contextmanager
def _interrupted_without(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGINT to ourselves when the server ends, and a word of it in place of whatever came of that."""
    over = threading.Event()

    def watch() -> None:
        process.wait()
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt) or lost_database(error) is not None
        if process.poll() is None or not interrupted:
            raise
    finally:
        over.set()
    if process.poll() is not None:
        raise DatabaseError(f"{ending(process.returncode)} while it was used. {LOST}")


def require_answer(uri: str) -> None:
    """Ask a server for a sign of life.

    Raises:
        DatabaseError: it gives none.
    """
    try:
        with MongoClient(uri, serverSelectionTimeoutMS=ANSWER_MS) as client:
            client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        raise DatabaseError(
            f"{URI_VARIABLE} is {_without_password(uri)}, but no MongoDB answers there ({str(error).split(',')[0]}). "
            f"Start it, or unset {URI_VARIABLE}: then one is started in the profile's scratch folder"
        ) from error


def fiftyone_environment(uri: str, folder: Path) -> dict[str, str]:
    """What FiftyOne has to find in the environment when it is imported: silent, and at home in `folder`.

    Its own variables for paths leave out an id of the user and a few more; a home folder covers them all. On a server
    of the user's, which other profiles may use as well, the database is named after the folder.
    """
    shared = URI_VARIABLE in os.environ
    name = f"segdistill_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}" if shared else "segdistill"
    return {
        "HOME": str(folder.resolve() / "home"),
        URI_VARIABLE: uri,
        "FIFTYONE_DATABASE_NAME": os.environ.get("FIFTYONE_DATABASE_NAME", name),
        "FIFTYONE_DATABASE_VALIDATION": "false",  # it would print a notice, and alter a server of the user's
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    }


def _running(folder: Path) -> Server | None:
    """The server that the record names, if it answers and its data are ours: the port may be another's by now."""
    try:
        server = Server(**json.loads((folder / "mongod.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return server if serves(server.port, (folder / "mongo").resolve()) else None


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process. The system lets go of it however the process ends."""
    with (folder / "lock").open("a") as file:
        if not _locks(file):
            running = _running(folder)
            by = f"process {running.pid}" if running else "another process"
            raise DatabaseError(
                f"{folder.resolve()} is in use by {by}: `make inspect` or `make inspect-apply` of this profile is "
                f"running already. Use that App, or end it first"
            )
        yield


def _is_owned(folder: Path) -> bool:
    with (folder / "lock").open("a") as file:
        return not _locks(file)


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_orphan(folder: Path) -> None:
    """End the server of a process that was killed; called by the owner of the folder, so nobody else uses it."""
    orphan = _running(folder)
    if orphan is None:
        return
    try:
        with MongoClient(uri_of(orphan.port)) as client:
            client.admin.command("shutdown")
    except AutoReconnect:  # it hangs up without an answer
        pass
    until = time.monotonic() + STOP_S
    while _running(folder) and time.monotonic() < until:
        time.sleep(0.05)


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.split('@')[-1]}"
