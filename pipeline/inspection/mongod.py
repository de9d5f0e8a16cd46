"""The process of a MongoDB server: found, started, ended, and its refusals in words."""

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

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


def uri_of(port: int) -> str:
    return f"mongodb://{LOOPBACK}:{port}/?serverSelectionTimeoutMS={ANSWER_MS}"


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


def serves(port: int, data: Path) -> bool:
    """Whether a server on these data answers; on the port may be anything."""
    try:
        with MongoClient(uri_of(port), serverSelectionTimeoutMS=500) as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
    except PyMongoError:
        return False
    return options.get("storage", {}).get("dbPath") == str(data)


def start(binary: Path, data: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server on the data in a folder, and wait until it answers.

    Raises:
        DatabaseError: it cannot be run, ended, or did not answer in time; the message says why as far as is known.
    """
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
            if serves(port, data):
                return process
    except BaseException:
        stop(process)
        raise
    stop(process)
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


def ending(code: int) -> str:
    """How a server ended that had served before."""
    if code == -signal.SIGKILL:
        return "mongod was killed, by somebody or by the kernel for lack of memory,"
    return f"mongod ended with {f'signal {-code}' if code < 0 else f'status {code}'}"


def stop(process: subprocess.Popen[bytes]) -> None:
    """Let it write what it holds and end; after a while without its consent."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
