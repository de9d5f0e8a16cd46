"""What of a profile's files must be equal after a fault: everything, except how long something took."""

import csv
import json
from pathlib import Path
from typing import Any

from pipeline.training.finished import RESULT

UNTIMED: dict[str, Any] = {"release": {"min_speedup": {"fp16": 1e6, "int8": 1e6}}}
"""Parameters with which no speed that was measured decides which files are released."""
TIMES = ("iterations_per_s",)
"""Columns of a table that say how fast the machine was."""
MEASURED = ("reports/", "artifacts/release/")
"""Where latencies stand, or files that hold them: never the same twice."""
CACHES = ("scratch/",)
"""What saves computing something again: what is in them may be computed anew."""
TOOLS = (".dvc/", "scratch/decoded-images/", "dvc.lock")


def contents(folder: Path) -> dict[str, bytes]:
    """All files and what must be equal in them: everything, except how long something took.

    The state of a finished training that dvc.lock has not, because its stage was run by hand, is left out.
    """
    kept = {result.parent for result in folder.glob(f"scratch/*/*/{RESULT}")}
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent not in kept)
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: _lasting(name, path) for name, path in sorted(named.items()) if not name.startswith(TOOLS)}


def _lasting(name: str, path: Path) -> bytes:
    if name.startswith(MEASURED + CACHES):
        return b""
    if path.name == "training.csv":
        with path.open(newline="") as file:
            rows = [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]
        return json.dumps(rows).encode()
    return path.read_bytes()
