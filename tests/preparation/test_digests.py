"""SHA-256 of every file, without reading again what has not been touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data.files import sha256
from pipeline.errors import DatasetError
from pipeline.preparation import digests
from pipeline.preparation.digests import file_digests
from tests.raising import raises, warns


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / f"{number}.bin" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 10)
    return paths


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "scratch/digests.sqlite"


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, reading a file is a failure."""

    def no_more_reading() -> None:
        monkeypatch.setattr(digests, "sha256", lambda path: pytest.fail(f"{path} was read again"))

    return no_more_reading


def forge(path: Path, content: bytes) -> None:
    """Put other bytes of the same number into a file whose size, time and inode stay."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def test_gives_the_usual_digests(files: list[Path], store: Path) -> None:
    assert file_digests(files, store) == {path: sha256(path) for path in files}


def test_an_untouched_file_is_not_read_again(files: list[Path], store: Path, untouched: Callable[[], None]) -> None:
    first = file_digests(files, store)
    untouched()
    assert file_digests(files, store) == first


def test_a_touched_file_is(files: list[Path], store: Path) -> None:
    """Also where its time was put back: the system's own note of the change stays."""
    first = file_digests(files, store)
    forge(files[0], b"another...")
    assert file_digests(files, store) == first | {files[0]: sha256(files[0])}
    assert sha256(files[0]) != first[files[0]]


def test_a_file_that_is_written_to_meanwhile_is_named(
    files: list[Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written_to(path: Path) -> str:
        found = sha256(path)
        if path == files[2]:
            forge(path, b"another...")
        return found

    monkeypatch.setattr(digests, "sha256", written_to)
    with raises(DatasetError, "1 file", files[2]):
        file_digests(files, store)
    monkeypatch.undo()
    assert file_digests(files, store) == {path: sha256(path) for path in files}


def test_so_is_one_that_another_was_moved_over(files: list[Path], store: Path, tmp_path: Path) -> None:
    file_digests(files, store)
    before = files[0].stat()
    (tmp_path / "new").write_bytes(b"another...")
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(files[0])
    assert files[0].stat().st_mtime_ns == before.st_mtime_ns
    assert file_digests(files, store)[files[0]] == sha256(files[0])


def test_a_file_that_cannot_be_read_has_none_until_it_can(files: list[Path], store: Path) -> None:
    first = file_digests(files, store)
    content = files[1].read_bytes()
    files[1].unlink()
    assert file_digests(files, store) == first | {files[1]: ""}
    files[1].mkdir()
    assert file_digests(files, store) == first | {files[1]: ""}
    files[1].rmdir()
    files[1].write_bytes(content)
    assert file_digests(files, store) == first


def test_a_damaged_store_is_begun_anew(files: list[Path], store: Path, untouched: Callable[[], None]) -> None:
    first = file_digests(files, store)
    store.write_bytes(b"no database" * 1000)
    with warns(UserWarning, store):
        assert file_digests(files, store) == first
    untouched()
    assert file_digests(files, store) == first  # it is a store again


def test_the_same_file_by_another_path_is_the_same(
    files: list[Path], store: Path, monkeypatch: pytest.MonkeyPatch, untouched: Callable[[], None]
) -> None:
    first = file_digests(files, store)
    untouched()
    monkeypatch.chdir(files[0].parent)
    relative = Path(files[0].name)
    assert file_digests([relative], store) == {relative: first[files[0]]}


def test_a_folder_whose_name_is_no_text(tmp_path: Path, store: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    for _ in range(2):
        assert file_digests([folder / "a"], store) == {folder / "a": sha256(folder / "a")}


def test_no_files(store: Path) -> None:
    assert file_digests([], store) == {}
