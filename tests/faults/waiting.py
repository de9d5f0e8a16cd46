"""Waiting for what another process does."""

import subprocess
import time
from collections.abc import Callable

PATIENCE_S = 120.0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Look a hundred times a second.

    Args:
        process: that is to bring it about; nobody waits for it once it has ended.

    Raises:
        AssertionError: it does not come in two minutes, or the process has ended.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
