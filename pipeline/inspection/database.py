"""Connect FiftyOne to its database: MongoDB in the profile's folder, or the server that FIFTYONE_DATABASE_URI names."""

import atexit
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from pipeline.errors import MachineError, SegdistillError

URI_VARIABLE = "FIFTYONE_DATABASE_URI"
ANSWER_MS = 5000
OTHER_SERVER = f"To use another MongoDB server, set {URI_VARIABLE}=mongodb://HOST:PORT"


def describe_database() -> str:
    """Say which MongoDB `inspect` uses on this machine.

    Raises:
        MachineError: none can be used.
    """
    uri = os.environ.get(URI_VARIABLE)
    if uri:
        require_answer(uri)
        return f"{_without_password(uri)} (from {URI_VARIABLE})"
    return mongod_version(find_mongod())


def connect(folder: Path, share: bool) -> Callable[[], object]:
    """Import FiftyOne and connect it to the database in `folder`/mongo.

    The database stops after all that FiftyOne does at the end of the process.

    Args:
        share: use the database of a running App, if there is one.

    Returns:
        a function that waits until the database ends.

    Raises:
        MachineError: no database can be used, or a running App has it.
    """
    os.environ.update(fiftyone_environment(folder))
    if uri := os.environ.get(URI_VARIABLE):
        require_answer(uri)
        return threading.Event().wait
    mongod = find_mongod()
    mongod_version(mongod)
    at_exit = contextlib.ExitStack()
    atexit.register(at_exit.close)  # before FiftyOne is imported, so that it runs after FiftyOne's own
    os.environ["FIFTYONE_DISABLE_SERVICES"] = "1"
    from pipeline.inspection.service import ProfileDatabase

    del os.environ["FIFTYONE_DISABLE_SERVICES"]
    database = ProfileDatabase(folder / "mongo", mongod)
    at_exit.callback(database.close)
    if database.attached and not share:
        raise MachineError(
            f"{folder.resolve()} is in use by process {database.child.ppid()}: `make inspect` or `make inspect-apply` "
            f"of this profile is running. Use that App, or end it first"
        )
    os.environ[URI_VARIABLE] = database.uri
    return database.wait


@contextlib.contextmanager
def explain_lost_database() -> Iterator[None]:
    """Turn whatever a lost database causes into one message; FiftyOne raises errors of its own for it, too."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, PyMongoError | ConnectionError):
            cause = cause.__cause__ or cause.__context__
        if cause is None or isinstance(error, SegdistillError):
            raise
        raise lost_database(str(cause).split(",")[0]) from error


def lost_database(reason: str) -> MachineError:
    return MachineError(
        f"the database stopped ({reason}). review.csv and the files of all stages are unchanged. Run the same command "
        f"again; tags of the last second may be missing"
    )


def find_mongod() -> Path:
    """Look in FiftyOne's package (without importing it, which takes seconds), then on the PATH.

    Raises:
        MachineError: in neither.
    """
    spec = importlib.util.find_spec("fiftyone")
    packaged = [Path(root, "db/bin/mongod") for root in (spec and spec.submodule_search_locations) or []]
    on_path = shutil.which("mongod")
    found = [path for path in packaged if path.is_file()] + [Path(path) for path in (on_path,) if path]
    if not found:
        raise MachineError(
            "no mongod: neither FiftyOne's package nor the PATH has one. `make setup` installs it on Linux x86-64; "
            f"elsewhere install MongoDB. {OTHER_SERVER}"
        )
    return found[0]


def mongod_version(mongod: Path) -> str:
    """Run a mongod to see whether it works here: a library or an instruction of the processor may be missing.

    Raises:
        MachineError: it does not run; the message says why.
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


def require_answer(uri: str) -> None:
    """Check that a server answers.

    Raises:
        MachineError: it does not.
    """
    try:
        with MongoClient(uri, serverSelectionTimeoutMS=ANSWER_MS) as client:
            client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        raise MachineError(
            f"{URI_VARIABLE} is {_without_password(uri)}, but no MongoDB answers there ({str(error).split(',')[0]}). "
            f"Start it, or unset {URI_VARIABLE}: then one is started in the profile's scratch folder"
        ) from error


def fiftyone_environment(folder: Path) -> dict[str, str]:
    """Return the variables that FiftyOne needs before its import: silent, no telemetry, all its files in `folder`.

    Its own variables for paths leave out an id of the user and more; a home folder covers them all. On a server of the
    user's, which other profiles may use too, the database is named after the folder.
    """
    shared = URI_VARIABLE in os.environ
    name = f"segdistill_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}" if shared else "segdistill"
    return {
        "HOME": str(folder.resolve() / "home"),
        "FIFTYONE_DATABASE_NAME": os.environ.get("FIFTYONE_DATABASE_NAME", name),
        "FIFTYONE_DATABASE_VALIDATION": "false",  # it would print a notice, and change a server of the user's
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    }


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.split('@')[-1]}"
