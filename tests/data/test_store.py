"""A cache on disk: what was put is got, and whatever happens to the file, the worst is that it is empty."""

import sqlite3
import warnings
from pathlib import Path

import pytest

from pipeline.data import store as store_module
from pipeline.data.store import Store
from pipeline.errors import MachineError
from tests.raising import raises, warns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scratch/store.sqlite"


def entries(count: int) -> dict[str, bytes]:
    return {f"key {number}": bytes([number % 256]) * 40 for number in range(count)}


def test_what_was_put_is_got_by_the_next_process_too(path: Path) -> None:
    with Store(path) as store:
        assert store.get(["a"]) == {}
        store.put({"a": b"1", "b": b"", "ü | \n": b"\0\xff"})
        assert store.get(["a", "missing"]) == {"a": b"1"}
    with Store(path) as store:
        assert store.get(["ü | \n", "b", "a"]) == {"a": b"1", "b": b"", "ü | \n": b"\0\xff"}


def test_a_later_value_replaces_the_earlier(path: Path) -> None:
    with Store(path) as store:
        store.put({"a": b"1", "b": b"2"})
        store.put({"a": b"3"})
        assert store.get("ab") == {"a": b"3", "b": b"2"}


def test_more_keys_than_sqlite_takes_arguments(path: Path) -> None:
    many = entries(3000)
    with Store(path) as store:
        store._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1000)
        store.put(many)
        assert store.get(key for key in many) == many


def test_forgets_only_when_much_is_unused(path: Path) -> None:
    used = entries(20)
    with Store(path) as store:
        store.put(entries(10_000))
        store.forget(used.keys())
        assert len(store.get(entries(10_000))) == 10_000
        store.put(entries(10_200))
        store.forget(used.keys())
        assert store.get(entries(10_200)) == used


def test_forgetting_gives_the_room_back(path: Path) -> None:
    with Store(path) as store:
        store.put({key: 10 * value for key, value in entries(10_200).items()})
    before = path.stat().st_size
    with Store(path) as store:
        store.forget({"key 1"})
    assert path.stat().st_size < before / 10


def test_a_file_that_is_no_store_is_begun_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    with warns(UserWarning, path):
        store = Store(path)
    with store:
        store.put({"a": b"1"})
    with Store(path) as store:
        assert store.get("a") == {"a": b"1"}


@pytest.mark.parametrize("length", [40, 6000])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_store_with_a_hole_says_nothing_false(path: Path, share: float, length: int) -> None:
    many = {key: value * (length // len(value)) for key, value in entries(200_000 // length).items()}
    with Store(path) as store:
        store.put(many)
    content = bytearray(path.read_bytes())
    start = int(share * len(content))
    content[start : start + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        store = Store(path)
    with store:
        found = store.get(many)
        assert found.items() <= many.items()
        assert len(found) < len(many)
        store.put(many)
        assert store.get(many) == many


def test_a_store_that_was_cut_off_is_begun_anew(path: Path) -> None:
    with Store(path) as store:
        store.put(entries(5000))
    path.write_bytes(path.read_bytes()[:100_000])
    with warns(UserWarning, path):
        store = Store(path)
    with store:
        assert store.get(entries(5000)) == {}


def test_what_a_killed_process_left_beside_a_damaged_file_is_not_believed(path: Path) -> None:
    with Store(path) as store:
        store.put(entries(5000))
    with Store(path) as store:
        store.put({"last": b"1"})
        beside = {name: name.read_bytes() for name in path.parent.iterdir() if name != path}
    assert any(beside.values())  # the log of the last changes, which a process that ends well folds in
    path.write_bytes(b"no database at all" * 100)
    for name, content in beside.items():
        name.write_bytes(content)
    with warns(UserWarning, path):
        store = Store(path)
    with store:
        assert store.get(["key 1", "last"]) == {}
        store.put(entries(5000))
        assert store.get(entries(5000)) == entries(5000)


def test_a_store_that_another_process_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PATIENCE_S", 0.05)
    with Store(path) as store:
        store.put({"a": b"1"})
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with Store(path) as store:
            assert store.get("a") == {"a": b"1"}  # reading goes on
            with raises(MachineError, path, "locked"):
                store.put({"b": b"2"})
    finally:
        other.close()


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir(parents=True)
    with raises(MachineError, path):
        Store(path)
