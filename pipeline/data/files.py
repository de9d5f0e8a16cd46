"""Write files atomically, so that an interrupted run never leaves a partial file that looks complete."""

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import DatasetError, MachineError

FULL = 64 * 1024  # bytes; with less space free, an error counts as a full disk, which some libraries do not report


class DiskFull(MachineError):
    """No space is left for an artifact."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success the file is flushed to disk and renamed, on failure removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with room_for(path):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Wrap a library that writes `path`, or other files beside it, and turn its errors into those of the file system.

    Raises:
        DiskFull: the file system of `path` has no space left.
    """
    try:
        yield
    except Exception as error:
        told = re.search(r"\(os error (\d+)\)", str(error))  # libraries written in Rust have the number only here
        number = getattr(error, "errno", None) or (int(told[1]) if told else None)
        if number == errno.ENOSPC or shutil.disk_usage(path.parent).free < FULL:
            raise DiskFull(
                f"no space left for {path}; free some on the file system of {path.parent} and run the stage again"
            ) from error
        if number is not None and not isinstance(error, OSError):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, indented, so that a change is a readable diff; raise ValueError for NaN: use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write CSV atomically; the first row is the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path, columns: Sequence[str], hint: str) -> list[list[str]]:
    """Read the rows below the header; raise DatasetError with `hint`, what to do, if the columns are not these."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not text
        raise DatasetError(f"cannot read {path} ({error}); {hint}") from error
    if header != list(columns):
        raise DatasetError(f"{path}: columns {','.join(header) or 'none'}, expected {','.join(columns)}; {hint}")
    for line, row in rows:
        if len(row) != len(columns):
            raise DatasetError(f"{path}, line {line}: expected {len(columns)} values; {hint}")
    return [row for _, row in rows]


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
