"""Hash every file of a dataset with SHA-256; unchanged files are not read again."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.data.files import sha256
from pipeline.data.store import Store
from pipeline.preparation.pairs import complain


def file_digests(paths: Sequence[Path], store: Path) -> dict[Path, str]:
    """Return the hexadecimal SHA-256 by path; empty for a file that cannot be read.

    As in git, a file counts as unchanged if its size, times and inode are the same as before. One of these times is
    the last change of the inode, which no program can set. Raises DatasetError if a file changes during the call.
    """
    states = {path: _state(path) for path in paths}
    with Store(store) as known:
        keys = {path: ascii(path.absolute()) for path, state in states.items() if state}  # names may not be UTF-8
        values = known.get(keys.values())
        digests = dict.fromkeys(paths, "")
        for path, key in keys.items():
            state, _, digest = values.get(key, b"").decode().rpartition(" ")
            digests[path] = digest if state == states[path] else ""
        new = [path for path in keys if not digests[path]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            digests.update(zip(new, pool.map(_digest, new), strict=True))
        known.put({keys[path]: f"{states[path]} {digests[path]}".encode() for path in new if digests[path]})
        known.forget(set(keys.values()))
    complain(
        "files of the dataset changed while it was prepared; run the stage again when no program writes to them:",
        [str(path) for path, state in states.items() if _state(path) != state],
    )
    return digests


def _state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError:
        return ""  # curation reports what is wrong with the sample
