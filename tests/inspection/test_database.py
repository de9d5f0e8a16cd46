import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from pipeline.inspection.database import database, fiftyone_environment, lost_database, own_server, require_answer
from pipeline.inspection.mongod import DatabaseError, find_mongod

ROOT = Path(__file__).parents[2]


def answers(uri: str) -> bool:
    try:
        require_answer(uri)
    except DatabaseError:
        return False
    return True


def port_of(uri: str) -> int:
    return int(uri.split(":")[2].split("/")[0])


def test_a_server_lives_as_long_as_its_context(tmp_path: Path) -> None:
    with own_server(tmp_path, find_mongod()) as uri:
        assert answers(uri)
        assert json.loads((tmp_path / "mongod.json").read_text()) == {"pid": os.getpid(), "port": port_of(uri)}
        with MongoClient(uri) as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
            client.kept.things.insert_one({"_id": 1})
        assert options["net"]["bindIp"] == "127.0.0.1"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port_of(uri)), 1)
    assert not (tmp_path / "mongod.json").exists()
    with own_server(tmp_path, find_mongod()) as uri, MongoClient(uri) as client:
        assert client.kept.things.count_documents({}) == 1


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with (
        own_server(tmp_path, find_mongod()),
        pytest.raises(DatabaseError, match=rf"in use by process {os.getpid()}: `make inspect`.*end it first"),
        own_server(tmp_path, find_mongod()),
    ):
        pass


def test_a_running_server_is_shared_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    with database(tmp_path, share=False) as uri:
        with database(tmp_path, share=True) as shared:
            assert shared == uri
        assert answers(uri)


@pytest.mark.parametrize("share", [False, True])
def test_the_server_of_a_killed_process_is_ended(share: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    code = (
        "import time; from pathlib import Path; from pipeline.inspection.database import *\n"
        f"with own_server(Path({str(tmp_path)!r}), find_mongod()) as uri:\n    print(uri, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    orphan = process.stdout.readline().strip()
    process.kill()
    process.wait()
    assert answers(orphan)
    with database(tmp_path, share) as uri:
        assert answers(uri)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port_of(orphan)), 1)


def test_another_mongod_on_the_data(tmp_path: Path) -> None:
    with own_server(tmp_path / "first", find_mongod()):
        (tmp_path / "second").mkdir()
        (tmp_path / "second/mongo").symlink_to(tmp_path / "first/mongo")
        with (
            pytest.raises(DatabaseError, match=r"another mongod has the database.*mongod\.lock.*FIFTYONE_DATABASE_URI"),
            own_server(tmp_path / "second", find_mongod()),
        ):
            pass


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DatabaseError, match=f"port {port} .*in use"), own_server(tmp_path, find_mongod(), port):
            pass


def test_a_mongod_without_its_libraries(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"  # the loader's complaint is real: this program wants a libc.so.9
    broken.write_bytes(Path(shutil.which("true") or "").resolve().read_bytes().replace(b"libc.so.6", b"libc.so.9"))
    broken.chmod(0o755)
    with (
        pytest.raises(DatabaseError, match=r"a library that mongod needs is missing: .*libc\.so\.9.*DATABASE_URI"),
        own_server(tmp_path, broken),
    ):
        pass


def test_a_mongod_that_is_no_program(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("nothing")
    with pytest.raises(DatabaseError, match=r"cannot be run: Permission denied"), own_server(tmp_path, broken):
        pass
    broken.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    broken.chmod(0o755)
    with (
        pytest.raises(DatabaseError, match=r"ended with status 3: out of order; .*mongod\.log says more"),
        own_server(tmp_path, broken),
    ):
        pass


def test_no_mongod_at_all(tmp_path: Path) -> None:
    code = "from pipeline.inspection.mongod import find_mongod; find_mongod()"
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
    assert "DatabaseError: no mongod: neither FiftyOne's package nor the PATH has one" in found.stderr
    assert "FIFTYONE_DATABASE_URI=mongodb://" in found.stderr


def test_the_server_that_the_user_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_server(tmp_path / "theirs", find_mongod()) as uri:
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", uri)
        with database(tmp_path / "ours", share=False) as used:
            assert used == uri
        assert not (tmp_path / "ours").exists()
        assert answers(uri)


def test_profiles_do_not_meet_on_the_users_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(profile: str) -> str:
        return fiftyone_environment("mongodb://x", tmp_path / profile)["FIFTYONE_DATABASE_NAME"]

    monkeypatch.delenv("FIFTYONE_DATABASE_NAME", raising=False)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    assert name("a") == name("b")  # each has a server of its own, and may be moved
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://x")
    assert name("a") != name("b")
    monkeypatch.setenv("FIFTYONE_DATABASE_NAME", "mine")
    assert name("a") == "mine"


def test_a_named_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://me:secret@127.0.0.1:9/?serverSelectionTimeoutMS=200")
    with pytest.raises(DatabaseError) as caught, database(tmp_path, share=False):
        pass
    assert "FIFTYONE_DATABASE_URI is mongodb://127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "unset" in str(caught.value)


def test_a_lost_database_is_known_by_whatever_it_causes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cause: Exception) -> None:
        try:
            raise cause
        except type(cause) as error:
            raise RuntimeError("FiftyOne could not be started") from error

    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    with pytest.raises(DatabaseError, match=r"not answer any more .connection closed"), database(tmp_path, False):
        fail(AutoReconnect("connection closed"))
    with pytest.raises(RuntimeError, match="FiftyOne could not be started"), database(tmp_path, False):
        fail(KeyError("a defect"))
    assert lost_database(None) is None


def test_a_stale_record_is_no_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    with own_server(tmp_path / "other", find_mongod()) as other:
        (tmp_path / "mongod.json").write_text(json.dumps({"pid": 1, "port": port_of(other)}))
        with database(tmp_path, share=True) as uri:
            assert uri != other
        assert answers(other)
