"""The MongoDB server behind FiftyOne: one of our own, in a folder of the profile, on the loopback interface.

FiftyOne would start one itself, but it joins whatever server the same user has running, in any folder, and leaves
hundreds of megabytes under the home folder. Where this machine cannot run one, FIFTYONE_DATABASE_URI names another.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from pipeline.data.files import write_json
from pipeline.inspection.records import InspectionError

LOOPBACK = "127.0.0.1"
URI_VARIABLE = "FIFTYONE_DATABASE_URI"
OTHER_SERVER = f"To use another MongoDB server, set {URI_VARIABLE}=mongodb://HOST:PORT"
START_S = 30.0
STOP_S = 20.0
ANSWER_MS = 5000

ECONOMICAL = (  # 11 MB for an empty database instead of 300
    *("--wiredTigerCacheSizeGB", "0.25"),
    *("--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)
PORT_IN_USE, OTHER_VERSION, FOLDER_IN_USE, NOT_LOADABLE = 48, 62, 100, 127  # exit codes, the last one of the loader


class DatabaseError(InspectionError):
    """No database for the App."""


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
        DatabaseError: no server can be had.
    """
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

    Args:
        binary: of mongod.
        port: a free one by default.

    Raises:
        DatabaseError: another process has the folder, or mongod does not start; the message says why.
    """
    data = (folder / "mongo").resolve()
    data.mkdir(parents=True, exist_ok=True)
    with _owned(folder):
        _end_orphan(folder)
        port = _free_port() if port is None else port
        process = _start(binary, data, port)
        try:
            write_json(folder / "mongod.json", Server(os.getpid(), port)._asdict())
            yield uri_of(port)
        finally:
            _stop(process)
            (folder / "mongod.json").unlink(missing_ok=True)


def uri_of(port: int) -> str:
    return f"mongodb://{LOOPBACK}:{port}/?serverSelectionTimeoutMS={ANSWER_MS}"


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


def find_mongod() -> Path:
    """Look in FiftyOne's package (without importing it, which takes seconds), then on the PATH.

    Raises:
        DatabaseError: in neither.
    """
    spec = importlib.util.find_spec("fiftyone")
    packaged = [Path(root, "db/bin/mongod") for root in (spec and spec.submodule_search_locations) or []]
    on_path = shutil.which("mongod")
    found = [path for path in packaged if path.is_file()] + [Path(path) for path in (on_path,) if path]
    if not found:
        raise DatabaseError(
            f"no mongod: neither FiftyOne's package nor the PATH has one. `make setup` installs it on Linux x86-64; "
            f"elsewhere install MongoDB. {OTHER_SERVER}"
        )
    return found[0]


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
    return server if _serves(server.port, (folder / "mongo").resolve()) else None


def _serves(port: int, data: Path) -> bool:
    """Whether a server on these data answers; on the port may be anything."""
    try:
        with MongoClient(uri_of(port), serverSelectionTimeoutMS=500) as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
    except PyMongoError:
        return False
    return options.get("storage", {}).get("dbPath") == str(data)


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


def _start(binary: Path, data: Path, port: int) -> subprocess.Popen[bytes]:
    log, output = data / "mongod.log", data / "mongod.out"
    log.unlink(missing_ok=True)
    command = [str(binary), "--dbpath", str(data), "--logpath", str(log), "--bind_ip", LOOPBACK, "--port", str(port)]
    try:
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*command, "--nounixsocket", *ECONOMICAL],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the App; its database has to outlive it
            )
    except OSError as error:
        raise DatabaseError(f"{binary} cannot be run: {error.strerror}. {OTHER_SERVER}") from error
    until = time.monotonic() + START_S
    try:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise DatabaseError(f"{_reason(process.returncode, binary, data, port)}. {OTHER_SERVER}")
            if _serves(port, data):
                return process
    except BaseException:
        _stop(process)
        raise
    _stop(process)
    raise DatabaseError(f"mongod did not listen within {START_S:.0f} s; {log} says what it did. {OTHER_SERVER}")


def _reason(code: int, binary: Path, data: Path, port: int) -> str:
    said = (data / "mongod.out").read_text(errors="replace").strip().splitlines()
    last = f": {said[-1]}" if said else ""
    reasons = {
        PORT_IN_USE: f"mongod found port {port} of {LOOPBACK} in use; run the same command again for another",
        OTHER_VERSION: f"the database in {data} is of another version of MongoDB. Delete the folder: it is made anew, "
        f"but tags that were not applied are lost",
        FOLDER_IN_USE: f"another mongod has the database in {data}; end the process that {data / 'mongod.lock'} names",
        NOT_LOADABLE: f"a library that mongod needs is missing{last}. Install it (MongoDB's package for this system "
        f"brings a mongod that fits), and put that mongod on the PATH",
        -signal.SIGILL: f"this processor cannot run {binary}: MongoDB 5 and later need AVX",
    }
    return reasons.get(code, f"mongod ended with status {code}{last}; {data / 'mongod.log'} says more")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.split('@')[-1]}"
