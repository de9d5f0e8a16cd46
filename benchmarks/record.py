"""What every benchmark's record begins with."""

import sys
from pathlib import Path
from typing import Any

from pipeline.measure.machine import machine_record


def begun() -> dict[str, Any]:
    """The command as it was given, and the machine."""
    command = " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    return {"command": command, "machine": machine_record()}
