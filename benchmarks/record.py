"""The first entries of every benchmark's record."""

import sys
from typing import Any

from pipeline.measure.machine import machine_record


def begun() -> dict[str, Any]:
    """Return the command line and the machine."""
    return {"command": " ".join(["python -m pipeline", *sys.argv[1:]]), "machine": machine_record()}
