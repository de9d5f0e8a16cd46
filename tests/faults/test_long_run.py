"""A long training stays as it began: memory, open files, speed. A real stage, looked at from outside once a second.

A student of the smallest ResNet learns from a few drawn images, in the real stage with all its parts: a loader process,
augmentation, distillation, checkpoints, progress.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.small_profile import environment, run, write_small_profile

RUN = "pspnet_r18_gdd"
ITERATIONS = 20_000
PARTS = 4  # of the time; the first is left out, in which memory pools fill
GROWTH = 1.02  # of resident memory from the second part to the last
SLOWER = 0.8  # least speed of the last part, of that of the second: cores are shared with others


@pytest.mark.faults
def test_memory_files_and_speed_stay_flat(tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    student = {"iterations": ITERATIONS, "network": {"backbone": "resnet10t"}}
    training = {"workers": 1, "log_every": 100, "checkpoint_every": 500}
    write_small_profile(folder, ["pspnet_r18", RUN], runs={"pspnet_r18": student, RUN: student}, training=training)
    for stage in ("prepare", "curate", "pretrain", "teacher"):
        done = run([sys.executable, "-m", f"stages.{stage}"], folder)
        assert done.returncode == 0, done.stderr
    looks = _watched([sys.executable, "-m", "stages.student", RUN], folder)
    with (folder / "artifacts/students" / RUN / "training.csv").open(newline="") as file:
        rates = [float(row["iterations_per_s"]) for row in csv.DictReader(file)]
    told = {name: [median(look[name] for look in part) for part in _parted(looks)] for name in looks[0]}
    told["iterations_per_s"] = [median(part) for part in _parted(rates)]
    print(json.dumps({"iterations": ITERATIONS, "looks": len(looks), **told}))
    assert told["resident_mb"][-1] <= GROWTH * told["resident_mb"][1]
    assert told["open_files"][-1] <= told["open_files"][1]
    assert told["processes"][-1] == told["processes"][1]
    assert told["iterations_per_s"][-1] >= SLOWER * told["iterations_per_s"][1]


def _watched(command: list[str], folder: Path) -> list[dict[str, float]]:
    """One look a second, from the time when all processes are there."""
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    looks = []
    while process.poll() is None:
        if look := _look(process.pid):
            looks.append(look)
        time.sleep(1)
    assert process.returncode == 0
    most = max(look["processes"] for look in looks)
    return [look for look in looks if look["processes"] == most]


def _look(pid: int) -> dict[str, Any]:
    """Of the process and its children, summed up; empty where one of them has just ended."""
    try:
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        family = [pid, *(int(child) for task in tasks for child in task.read_text().split())]
        pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family)
        files = sum(len(os.listdir(f"/proc/{member}/fd")) for member in family)
    except OSError:
        return {}
    return {"resident_mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6, "open_files": files, "processes": len(family)}


def _parted(rows: list[Any]) -> list[list[Any]]:
    size = max(1, len(rows) // PARTS)
    return [rows[part * size : (part + 1) * size] for part in range(PARTS)]
