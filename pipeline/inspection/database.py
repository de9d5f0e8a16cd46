"""Connect FiftyOne to its database: MongoDB in the profile's folder, or the server that FIFTYONE_DATABASE_URI names.

By default, FiftyOne starts one server for each user, so a second profile would write into the first one's database.
"""

import atexit
import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from pipeline.cli import end_with_parent
from pipeline.errors import MachineError, SegdistillError

URI_VARIABLE = "FIFTYONE_DATABASE_URI"
ANSWER_MS = 5000
READY_S, STOP_S = 120.0, 20.0
OTHER_SERVER = f"To use another MongoDB server, set {URI_VARIABLE}=mongodb://HOST:PORT"
SMALL = (  # 11 MB for an empty database instead of 300
    "--wiredTigerCacheSizeGB", "0.25",
    "--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)",
    "--setParameter", "diagnosticDataCollectionEnabled=false",
)  # fmt: skip


def describe_database() -> str:
    """Return text that names the MongoDB of `inspect` on this machine; raise MachineError if it cannot be used."""
    uri = os.environ.get(URI_VARIABLE)
    if not uri:
        return mongod_version(find_mongod())
    scheme, _, rest = uri.partition("://")
    shown = f"{scheme}://{rest.split('@')[-1]}"  # without the password
    try:
        with MongoClient(uri, serverSelectionTimeoutMS=ANSWER_MS) as client:
            client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        raise MachineError(
            f"{URI_VARIABLE} is {shown}, but no MongoDB answers there ({str(error).split(',')[0]}). Start it, or unset "
            f"{URI_VARIABLE} to start one in the profile's scratch folder"
        ) from error
    return f"{shown} (from {URI_VARIABLE})"


def connect(folder: Path, share: bool) -> Callable[[], object]:
    """Set the environment so that FiftyOne uses the database in `folder`/mongo; import FiftyOne only after this.

    Returns a function that waits until the database ends. The database stops after FiftyOne's own work at the end of
    the process. With `share`, the database of a running App is used. Without it, a running App raises MachineError.
    """
    os.environ.update(fiftyone_environment(folder))
    describe_database()  # raises if there is none
    if os.environ.get(URI_VARIABLE):
        return threading.Event().wait
    data = folder.resolve() / "mongo"
    server = _running(data)
    if server and not share:
        raise MachineError(
            f"{folder.resolve()} is in use by process {server.ppid()}: `make inspect` or `make inspect-apply` "
            f"of this profile is running. Use that App, or end it first"
        )
    server = server or _started(find_mongod(), data)
    os.environ[URI_VARIABLE] = f"mongodb://127.0.0.1:{_port(server, data)}/?serverSelectionTimeoutMS={ANSWER_MS}"
    return server.wait


@contextlib.contextmanager
def explain_lost_database() -> Iterator[None]:
    """Turn every error that a lost database causes into one MachineError; FiftyOne also raises its own types."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, PyMongoError | ConnectionError):
            cause = cause.__cause__ or cause.__context__
        if cause is None or isinstance(error, SegdistillError):
            raise
        raise MachineError(
            f"the database stopped ({str(cause).split(',')[0]}). review.csv and the files of all stages are unchanged. "
            f"Run the same command again; tags of the last second may be missing"
        ) from error


def find_mongod() -> Path:
    """Find mongod in FiftyOne's package (without importing it, which takes seconds), then on the PATH."""
    spec = importlib.util.find_spec("fiftyone")
    packaged = [Path(root, "db/bin") for root in (spec and spec.submodule_search_locations) or []]
    found = shutil.which("mongod", path=os.pathsep.join(map(str, [*packaged, os.environ.get("PATH", os.defpath)])))
    if found is None:
        raise MachineError(
            "mongod is missing: it is not in FiftyOne's package or on the PATH. `make setup` installs it on Linux "
            f"x86-64; elsewhere install MongoDB. {OTHER_SERVER}"
        )
    return Path(found)


def mongod_version(mongod: Path) -> str:
    """Return the version of a mongod; raise MachineError if it does not run here.

    A library or an instruction of the processor may be missing.
    """
    try:
        run = subprocess.run([mongod, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise MachineError(f"{mongod} cannot be run: {error.strerror}. {OTHER_SERVER}") from error
    said = (run.stdout if run.returncode == 0 else run.stderr or run.stdout).strip().splitlines() or ["no message"]
    if run.returncode:
        raise MachineError(
            f"{mongod} does not run here (status {run.returncode}: {said[-1]}). Install MongoDB's package for this "
            f"system and put its mongod on the PATH. {OTHER_SERVER}"
        )
    return f"mongod: {said[0]}"


def fiftyone_environment(folder: Path) -> dict[str, str]:
    """Return the variables to set before FiftyOne's import: no output, no telemetry, all its files in `folder`.

    FiftyOne's own variables for paths do not cover all files, such as an id of the user; HOME does. On your own server,
    which other profiles may also use, the database is named after the folder.
    """
    shared = URI_VARIABLE in os.environ
    name = f"segdistill_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}" if shared else "segdistill"
    return {
        "HOME": str(folder.resolve() / "home"),
        "FIFTYONE_DATABASE_NAME": os.environ.get("FIFTYONE_DATABASE_NAME", name),
        "FIFTYONE_DATABASE_VALIDATION": "false",  # it would print a notice, and change your own server
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    }


def _running(data: Path) -> psutil.Process | None:
    """Return the server that another process has started on this data, if any."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((data / "mongod.lock").read_text()))
        if str(data) in process.cmdline():
            return process
    return None


def _started(mongod: Path, data: Path) -> psutil.Process:
    """Start a server that ends with this process, even if it is killed (Linux); Ctrl-C does not reach the server."""
    data.mkdir(parents=True, exist_ok=True)
    files = ["--dbpath", data, "--logpath", data / "mongod.log", "--logappend"]
    command = [mongod, *files, "--bind_ip", "127.0.0.1", "--port", "0", "--nounixsocket", *SMALL]
    end = partial(end_with_parent, signal.SIGTERM)
    server = psutil.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=end)

    def stop() -> None:
        with contextlib.suppress(psutil.Error):
            server.terminate()
            server.wait(STOP_S)

    atexit.register(stop)  # before FiftyOne is imported, so that it runs after FiftyOne's own
    return server


def _port(server: psutil.Process, data: Path) -> int:
    until = time.monotonic() + READY_S
    with contextlib.suppress(psutil.Error):
        while time.monotonic() < until and server.status() != psutil.STATUS_ZOMBIE:
            for connection in server.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    return connection.laddr.port
            time.sleep(0.05)
    raise MachineError(
        f"MongoDB did not start on {data}; {data / 'mongod.log'} says why. Run the same command again. If another "
        f"version of MongoDB wrote the folder, delete it: it is rebuilt, but tags that you did not apply are lost"
    )
