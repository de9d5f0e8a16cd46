"""Run `dvc repro` with the teacher and the runs side by side: what does not need each other shares the cores.

DVC itself runs one stage after the other. Here a run's training is a `dvc repro` of its own, and so is what makes
its engines, `--jobs` of them at a time. What is timed (stage benchmark) runs alone in between.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path

from pipeline.params.tree import load_params
from pipeline.stage_table import Stage, stage_table
from pipeline.threads import available_threads
from pipeline.versions.recover import recover
from segdistill_runtime.cuda import driver_is_missing

DVC = ("dvc", "--wait-for-lock")
FIRST = "preflight"  # it and all before it run alone
TIMED = "benchmark"
LEARNS = ("pretrain", "teacher", "student", "evaluate")
SIDE_BY_SIDE = ((*LEARNS, "inspect", "export", "quantize", "engine"), ("release",))
"""Scripts whose stages may run beside those of other runs: before what is timed, and after it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = 2 if driver_is_missing() else 1
    told = "how many dvc commands at a time; they divide the cores, and would share a GPU"
    parser.add_argument("--jobs", type=int, default=default, help=f"{told} (default: 2, with an NVIDIA driver 1)")


def run(arguments: argparse.Namespace) -> None:
    for sentence in recover(Path.cwd()):
        print(sentence, flush=True)
    try:
        if _changed():
            table = stage_table(load_params())
            before, after = (groups_of([s for s in table if s.script in scripts]) for scripts in SIDE_BY_SIDE)
            _dvc("repro", FIRST)
            _side_by_side(*before, arguments.jobs)
            _dvc("repro", "--single-item", *(stage.name for stage in table if stage.script == TIMED))
            _side_by_side(*after, arguments.jobs)
        _dvc("repro")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # dvc has said why


def groups_of(stages: Sequence[Stage]) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Return the stages, in their order, of each group; and the groups that each needs.

    A run is two: what learns is wanted by other runs, what deploys it is not. What is of no run is a group of its own.
    """
    groups: dict[str, list[Stage]] = {}
    for stage in stages:
        deploys = "" if stage.script in LEARNS else " deployed"
        groups.setdefault(f"{stage.run or stage.script}{deploys}", []).append(stage)
    group_of = {out: group for group, stages in groups.items() for stage in stages for out in stage.outs}
    needs = {
        group: {group_of[path] for stage in stages for path in stage.deps if path in group_of} - {group}
        for group, stages in groups.items()
    }
    return {group: [stage.name for stage in stages] for group, stages in groups.items()}, needs


def _side_by_side(groups: Mapping[str, Sequence[str]], needs: Mapping[str, set[str]], jobs: int) -> None:
    """Bring each group up to date as soon as those are that it needs; after a failure none is begun."""
    waiting, running = TopologicalSorter(needs), dict[Future[None], str]()
    waiting.prepare()
    # The caller's own number goes first.
    shared = {"OMP_NUM_THREADS": str(max(1, available_threads() // jobs)), **os.environ}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting.is_active():
                for group in waiting.get_ready():
                    # Each stage alone: what comes before is up to date, and in use by the others.
                    running[pool.submit(_dvc, "repro", "--single-item", *groups[group], environment=shared)] = group
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    waiting.done(running.pop(done))
                    done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _changed() -> bool:
    """Ask about this profile only: without a target, DVC looks at all."""
    asked = [*DVC, "status", "--quiet", "dvc.yaml"]
    return not Path("dvc.lock").exists() or subprocess.run(asked, check=False).returncode != 0


def _dvc(*words: str, environment: Mapping[str, str] | None = None) -> None:
    subprocess.run([*DVC, *words], env=environment, stdin=subprocess.DEVNULL, check=True)
