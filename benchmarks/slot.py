"""Train and judge the runs of a profile in slots of time, without DVC: a machine that is lent for minutes has none.

What is finished is not repeated, and a training that was cut off goes on in the next slot from its last checkpoint.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.params import load_params

ROOT = Path(__file__).parents[1]
RESULTS = ("*.json", "*.csv", "checkpoint.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", type=Path, help="folder with params.yaml, and data/raw where the profile reads it")
    parser.add_argument("--seconds", type=float, required=True, help="of this slot")
    parser.add_argument("--out", type=Path, required=True, help="gets a copy of what is finished")
    arguments = parser.parse_args()
    done = run_slot(arguments.profile, time.monotonic() + arguments.seconds)
    collect(arguments.profile, arguments.out)
    print("all runs are trained and judged" if done else "the slot is over; run the same command again", flush=True)


def run_slot(profile: Path, deadline: float) -> bool:
    """Run what is left of the stages in their order until the deadline; whether nothing is left."""
    finished = profile / "scratch" / "slots"
    finished.mkdir(parents=True, exist_ok=True)
    for stage in stages(list(load_params(profile / "params.yaml").runs)):
        mark = finished / "_".join(stage)
        if mark.exists():
            continue
        if not _run(stage, profile, deadline - time.monotonic()):
            return False
        mark.touch()
    return True


def stages(runs: list[str]) -> list[tuple[str, ...]]:
    """Up to the judgment of every run; the teacher is judged first, as the upper bound."""
    learned = [(stage, run) for run in runs for stage in ("student", "evaluate")]
    return [("prepare",), ("curate",), ("teacher",), ("evaluate", "teacher"), *learned]


def collect(profile: Path, out: Path) -> None:
    """Copy checkpoints, curves and metrics: the files that are small enough to travel."""
    for folder in ("artifacts/teacher", "artifacts/students", "reports/metrics"):
        for pattern in RESULTS:
            for file in (profile / folder).rglob(pattern):
                target = out / file.relative_to(profile)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)


def _run(stage: tuple[str, ...], profile: Path, seconds: float) -> bool:
    """Whether the stage came to its end in time; one that fails ends everything."""
    if seconds <= 0:
        return False
    name, *arguments = stage
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", f"stages.{name}", *arguments], cwd=profile, env=environment, start_new_session=True
    )
    try:
        status = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its loader processes too; the state on disk is whole at any moment
        process.wait()
        return False
    if status:
        sys.exit(f"stage {' '.join(stage)} of {profile} failed with status {status}")
    return True


if __name__ == "__main__":
    main()
