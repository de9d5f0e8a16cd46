"""Cache computed results: bytes by key, in one file."""

import errno
import json
import os
import sqlite3
import warnings
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pipeline.errors import MachineError

PATIENCE_S = 60.0
CHECKSUM = 4  # bytes before each value: SQLite notices damaged pages, but not damaged content
GIVEN = "(SELECT value FROM json_each(?))"  # any number of keys as one argument


class Store:
    """A cache: everything in it can be computed again, so a damaged file is deleted and started empty.

    Raises:
        MachineError: another process has been writing to the file for a minute.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.OperationalError as error:
            if os.statvfs(path.parent).f_flag & os.ST_RDONLY:  # SQLite's error does not name it
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path)) from error
            raise MachineError(f"cannot open {path} ({error}); wait for other stages of this profile") from error
        except sqlite3.DatabaseError as error:
            warnings.warn(f"{path} is damaged ({error}); it is deleted and filled again", stacklevel=2)
            path.unlink()
            self._connection = self._open()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of the keys that are stored; values with a wrong checksum are omitted."""
        query = f"SELECT key, value FROM entries WHERE key IN {GIVEN}"
        entries = self._connection.execute(query, [json.dumps(list(keys))])
        return {key: entry[CHECKSUM:] for key, entry in entries if entry[:CHECKSUM] == _checksum(entry[CHECKSUM:])}

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Add or replace entries, all or none."""
        rows = [(key, _checksum(value) + value) for key, value in entries.items()]
        self._change("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)

    def forget(self, used: Collection[str]) -> None:
        """Remove all keys but the used ones, once the store has more than twice as many keys plus 10 000."""
        (count,) = self._connection.execute("SELECT count(*) FROM entries").fetchone()
        if count > 2 * len(used) + 10_000:
            self._change(f"DELETE FROM entries WHERE key NOT IN {GIVEN}", [(json.dumps(list(used)),)])
            self._connection.execute("VACUUM")

    def _change(self, statement: str, rows: list[tuple]) -> None:
        try:
            with self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise MachineError(
                f"cannot write {self.path} ({error}); free disk space, or wait for other stages of this profile"
            ) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=PATIENCE_S)
        try:
            # Avoids the rollback journal's flush at every commit. A torn file is found to be damaged and started empty.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _checksum(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(CHECKSUM, "big")
