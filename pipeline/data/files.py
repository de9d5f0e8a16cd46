"""Writing files so that an interrupted run never leaves one that looks whole."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import MachineError

FULL = 64 * 1024
"""Bytes. Libraries that write for themselves may not say that there was no room, and stumble over what they wrote."""


class DiskFull(MachineError):
    """No room left for an artifact."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it is flushed to disk and renamed, on failure removed.

    Raises:
        DiskFull: the file system of `path` has no space left.
    """
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
    """While a library writes `path`, or other files beside it: its error becomes what the file system says.

    Raises:
        DiskFull: the file system of `path` has no space left.
    """
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number == errno.ENOSPC or shutil.disk_usage(path.parent).free < FULL:
            raise DiskFull(
                f"no space left for {path}; free some on the file system of {path.parent} and run the stage again"
            ) from error
        if number is not None and not isinstance(error, OSError):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise


def _number(error: Exception) -> int | None:
    """Find the operating system's number of an error; libraries written in Rust have it in their message only."""
    told = re.search(r"\(os error (\d+)\)", str(error))
    return getattr(error, "errno", None) or (int(told[1]) if told else None)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, indented, so that a change is a readable diff. NaN is refused: use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
