"""The number of threads of a process for work that is not timed."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
WATCHED_S = 0.1
MOSTLY = 0.75  # share of idle cores from which on other work does not reduce the number of threads


def available_threads() -> int:
    """Return OMP_NUM_THREADS, else the number of cores, or of the idle ones if other work uses many.

    Threads that share a core with other work wait for each other at every layer: on two busy cores, two threads take
    four times as long for a training step as one.
    """
    if (asked := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        return max(1, int(asked))
    cores = len(os.sched_getaffinity(0))
    idle = idle_cores(WATCHED_S)
    return cores if idle is None or idle >= MOSTLY * cores else max(1, int(idle))


def idle_cores(seconds: float) -> float | None:
    """Watch the cores that this process may use, and return how many were idle; None if the system does not say."""
    before = _idle_ticks()
    time.sleep(seconds)
    after = _idle_ticks()
    if before is None or after is None or not (passed := after[1] - before[1]):
        return None
    return (after[0] - before[0]) / passed * len(os.sched_getaffinity(0))


def _idle_ticks() -> tuple[int, int] | None:
    """Return the idle ticks and all ticks so far, over the cores that this process may use."""
    if not STAT.is_file():
        return None
    own = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    rows = [[int(n) for n in line.split()[1:9]] for line in STAT.read_text().splitlines() if line.split()[0] in own]
    return sum(row[3] + row[4] for row in rows), sum(map(sum, rows))
