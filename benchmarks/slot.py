"""Train and evaluate a profile in time slots of minutes, without DVC.

Trains the runs of the profile. With --methods, it compares these methods over several seeds instead, with the recipe of
every baseline of the profile.

Finished work is not repeated. An interrupted training continues in the next slot from its last checkpoint.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.params.runs import RunParams
from pipeline.params.tree import Params, load_params
from pipeline.stage_table import stage_table

ROOT = Path(__file__).parents[1]
RESULTS = ("*.json", "*.csv", "*.md", "*.png", "checkpoint.safetensors")

Work = tuple[str, ...]  # a module and its arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, required=True, help="length of this slot, seconds")
    parser.add_argument("--methods", nargs="+", default=[], help="candidates of the profile's comparison")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the comparison")
    parser.add_argument("--out", type=Path, required=True, help="folder for copies of the results")


def run(arguments: argparse.Namespace) -> None:
    params = load_params()
    students = table(params.runs, arguments.methods, arguments.seeds) if arguments.methods else trainings(params)
    done = run_slot([*ahead(params), *students], Path(), time.monotonic() + arguments.seconds)
    collect(Path(), arguments.out)
    print("everything is trained and judged" if done else "the slot is over; run the same command again", flush=True)


def run_slot(work: Sequence[Work], profile: Path, deadline: float) -> bool:
    """Run the remaining work in this order until the deadline; returns whether all work is finished."""
    finished = profile / "scratch" / "slots"
    finished.mkdir(parents=True, exist_ok=True)
    for item in work:
        mark = finished / "_".join(item)
        if mark.exists():
            continue
        if not _run(item, profile, deadline - time.monotonic()):
            return False
        mark.touch()
    return True


def ahead(params: Params) -> list[Work]:
    """List the work that students need first; includes the evaluation of the teacher, as the upper bound."""
    names = ("prepare", "curate", "pretrain", "teacher", "evaluate-teacher")
    stages = {stage.name: stage for stage in stage_table(params)}
    return [(f"stages.{stages[n].script}", *filter(None, [stages[n].run])) for n in names if n in stages]


def trainings(params: Params) -> list[Work]:
    return [(f"stages.{script}", run) for run in params.runs for script in ("student", "evaluate")]


def table(runs: Mapping[str, RunParams], methods: Sequence[str], seeds: int) -> list[Work]:
    """List a comparison for each baseline's recipe; an interrupted comparison continues by itself."""
    return [
        ("pipeline", "compare", *methods, "--seeds", str(seeds), "--recipe", name)
        for name, run in runs.items()
        if run.baseline == name
    ]


def collect(profile: Path, out: Path) -> None:
    """Copy checkpoints, curves and reports, which are small enough to transfer."""
    for folder in ("artifacts/teacher", "artifacts/students", "reports/metrics", "reports/comparison"):
        for pattern in RESULTS:
            for file in (profile / folder).rglob(pattern):
                target = out / file.relative_to(profile)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)


def _run(work: Work, profile: Path, seconds: float) -> bool:
    """Run one item; returns whether it finished in time. A failed item ends the program."""
    if seconds <= 0:
        return False
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *work], cwd=profile, env=environment, start_new_session=True
    )
    try:
        status = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its loader processes too; the state on disk is always complete
        process.wait()
        return False
    if status:
        sys.exit(f"{' '.join(work)} in {profile} failed with status {status}")
    return True
