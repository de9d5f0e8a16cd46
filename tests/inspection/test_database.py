import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from pipeline.errors import MachineError
from pipeline.inspection.database import (
    connect,
    describe_database,
    explain_lost_database,
    fiftyone_environment,
    find_mongod,
    mongod_version,
)
from tests.raising import raises

ROOT = Path(__file__).parents[2]
CONNECT = """
import os, sys, time
from pathlib import Path
from pipeline.inspection.database import connect
os.environ.pop("FIFTYONE_DATABASE_URI", None)
connect(Path(sys.argv[1]), share=sys.argv[2] == "share")
import fiftyone
fiftyone.Dataset(sys.argv[3], persistent=True, overwrite=True)
print(os.environ["FIFTYONE_DATABASE_URI"], *sorted(fiftyone.list_datasets()), flush=True)
sys.stdin.readline()
"""


class Client:
    """A process that uses the database of a folder until it is ended."""

    def __init__(self, folder: Path, dataset: str, share: bool = False):
        command = [sys.executable, "-c", CONNECT, str(folder), "share" if share else "own", dataset]
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.uri, *self.datasets = self.process.stdout.readline().split() or [""]

    def end(self) -> str:
        """End it as a command ends, and return its complaints."""
        return self.process.communicate("\n")[1]


def answers(uri: str) -> bool:
    try:
        with MongoClient(uri, serverSelectionTimeoutMS=5000) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


@pytest.mark.slow
def test_profiles_have_databases_of_their_own_which_end_with_them(tmp_path: Path) -> None:
    first, second = Client(tmp_path / "a", "of_a"), Client(tmp_path / "b", "of_b")
    assert (first.datasets, second.datasets) == (["of_a"], ["of_b"])
    with MongoClient(first.uri) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]
    assert options["storage"]["dbPath"] == str(tmp_path / "a/mongo")
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert first.end() == ""
    assert not answers(first.uri)
    assert answers(second.uri)
    second.process.send_signal(signal.SIGKILL)
    second.process.communicate()
    until = time.monotonic() + 60
    while answers(second.uri):
        assert time.monotonic() < until, "a killed process leaves a database behind"
    again = Client(tmp_path / "a", "later")
    assert again.datasets == ["later", "of_a"]
    again.end()


@pytest.mark.slow
def test_a_running_database_is_shared_on_demand_only(tmp_path: Path) -> None:
    first = Client(tmp_path, "first")
    shared = Client(tmp_path, "shared", share=True)
    assert (shared.uri, shared.datasets) == (first.uri, ["first", "shared"])
    refused = Client(tmp_path, "refused")
    complaint = refused.end()
    assert f"process {first.process.pid}" in complaint
    assert "`make inspect`" in complaint
    shared.end()
    assert answers(first.uri)
    first.end()


def test_a_mongod_that_does_not_run(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("nothing")
    with raises(MachineError, broken, "Permission denied"):
        mongod_version(broken)
    # The loader's complaint is real: this program wants a libc.so.9.
    broken.write_bytes(Path(shutil.which("true") or "").resolve().read_bytes().replace(b"libc.so.6", b"libc.so.9"))
    broken.chmod(0o755)
    with raises(MachineError, broken, "status 127", "libc.so.9", "PATH", "FIFTYONE_DATABASE_URI"):
        mongod_version(broken)


def test_no_mongod_at_all(tmp_path: Path) -> None:
    code = "from pipeline.inspection.database import find_mongod; find_mongod()"
    site = tmp_path / "site"  # a FiftyOne that was installed where its database could not be downloaded
    (site / "fiftyone").mkdir(parents=True)
    (site / "fiftyone/__init__.py").write_text("")
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{site}:{ROOT}", "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert all(value in found.stderr for value in ("MachineError: ", "PATH", "`make setup`"))
    assert "FIFTYONE_DATABASE_URI=mongodb://" in found.stderr


def test_the_doctor_says_which_database_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    assert describe_database().startswith("mongod: db version v")


def test_the_server_that_the_user_names_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "theirs"
    data.mkdir()
    port = "27999"
    server = subprocess.Popen(
        [find_mongod(), "--dbpath", data, "--port", port, "--nounixsocket"], stdout=subprocess.DEVNULL
    )
    uri = f"mongodb://127.0.0.1:{port}/"
    try:
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", uri)
        with monkeypatch.context() as patch:
            for name in fiftyone_environment(tmp_path):
                patch.setenv(name, "")  # so that it is put back
            patch.setenv("FIFTYONE_DATABASE_NAME", "mine")
            connect(tmp_path / "ours", share=False)
        assert not (tmp_path / "ours").exists()
        assert describe_database() == f"{uri} (from FIFTYONE_DATABASE_URI)"
    finally:
        server.terminate()
        server.wait()


def test_profiles_do_not_meet_on_the_users_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(profile: str) -> str:
        return fiftyone_environment(tmp_path / profile)["FIFTYONE_DATABASE_NAME"]

    monkeypatch.delenv("FIFTYONE_DATABASE_NAME", raising=False)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    assert name("a") == name("b")  # each has a database of its own, and may be moved
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://x")
    assert name("a") != name("b")
    monkeypatch.setenv("FIFTYONE_DATABASE_NAME", "mine")
    assert name("a") == "mine"


def test_a_named_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://me:secret@127.0.0.1:9/?serverSelectionTimeoutMS=200")
    with raises(MachineError, "FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:9/", "unset") as caught:
        describe_database()
    assert "secret" not in str(caught.value)


def test_a_lost_database_is_known_by_whatever_it_causes() -> None:
    def fail(cause: Exception) -> None:
        try:
            raise cause
        except type(cause) as error:
            raise RuntimeError("not started") from error

    with raises(MachineError, "connection closed", "review.csv"), explain_lost_database():
        fail(AutoReconnect("connection closed"))
    with raises(RuntimeError, "not started"), explain_lost_database():
        fail(KeyError("a defect"))
