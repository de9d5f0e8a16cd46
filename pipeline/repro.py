"""Run `dvc repro` with stages side by side: stages that do not need each other share the cores.

DVC itself runs one stage after the other. Here each stage runs in its own `dvc repro`, `--jobs` of them at a time.
Timed stages (benchmark) run alone.
"""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from importlib import import_module
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from dvc.cli import main as dvc

from pipeline.errors import ParamsError
from pipeline.params.tree import load_params
from pipeline.stage_table import Stage, stage_table
from pipeline.threads import available_threads
from pipeline.versions.recover import recover
from segdistill_runtime.cuda import driver_is_missing

FORK = get_context("fork")
AHEAD = ("stages.preflight", "stages.student", "stages.export")  # import most of the large modules
FIRST = "preflight"  # it and all before it run alone
TIMED = "benchmark"
SIDE_BY_SIDE = (
    ("pretrain", "teacher", "student", "evaluate", "inspect", "export", "quantize", "engine"),
    ("release",),
)
"""Scripts whose stages run side by side, before the timed stages and after them. Earlier scripts go first."""
CHATTY = ("dvc.repo.scm_context", "dvc.dvcfile")  # loggers that explain after each stage how to commit dvc.lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = 2 if driver_is_missing() else 1
    told = "number of stages at a time; they divide the cores and share the GPU"
    parser.add_argument("--jobs", type=int, default=default, help=f"{told} (default: 2; 1 with an NVIDIA driver)")


def run(arguments: argparse.Namespace) -> None:
    if arguments.jobs < 1:
        raise ParamsError(f"--jobs {arguments.jobs}: give 1 or more")
    for sentence in recover(Path.cwd()):
        print(sentence, flush=True)
    # Only this profile's file: without a target, DVC checks all profiles.
    if not Path("dvc.lock").exists() or _code(_start("status", "--quiet", "dvc.yaml")):
        table = stage_table(load_params())
        before, after = (
            [stage for script in group for stage in table if stage.script == script] for group in SIDE_BY_SIDE
        )
        FORK.Process(target=_import_ahead, daemon=True).start()
        _finish(_start("repro", FIRST))
        side_by_side(before, arguments.jobs)
        _finish(_start("repro", "--single-item", *(stage.name for stage in table if stage.script == TIMED)))
        side_by_side(after, arguments.jobs)
    _finish(_start("repro"))


def needs(stages: Sequence[Stage]) -> dict[str, set[str]]:
    """Return for each stage the names of the stages whose outputs it reads."""
    made_by = {out: stage.name for stage in stages for out in stage.outs}
    return {stage.name: {made_by[path] for path in stage.deps if path in made_by} for stage in stages}


def _import_ahead() -> None:
    """Import large modules while the data are prepared on one core, as Python compiles them at first import."""
    for name in AHEAD:
        import_module(name)


def side_by_side(stages: Sequence[Stage], jobs: int) -> None:
    """Bring each stage up to date when all stages that it needs are; the first of the list goes first."""
    # A number that the caller has set takes precedence.
    shared = {"OMP_NUM_THREADS": str(max(1, available_threads() // jobs)), **os.environ}
    waiting, ready, running = TopologicalSorter(needs(stages)), set[str](), dict[str, BaseProcess]()
    waiting.prepare()
    while waiting.is_active():
        ready |= {*waiting.get_ready()}
        for name in [stage.name for stage in stages if stage.name in ready][: jobs - len(running)]:
            ready.remove(name)
            # Only this stage: earlier stages are up to date, and other processes use their outputs.
            running[name] = _start("repro", "--single-item", name, environment=shared)
        connection.wait([process.sentinel for process in running.values()])
        for name in [name for name, process in running.items() if process.exitcode is not None]:
            _finish(running.pop(name))
            waiting.done(name)


def _start(*words: str, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a dvc command in a fork of this process, which has already imported DVC; the import takes most time."""
    process = FORK.Process(target=_dvc, args=(words, environment or {}))
    process.start()
    return process


def _code(process: BaseProcess) -> int:
    process.join()
    return process.exitcode or 0


def _finish(process: BaseProcess) -> None:
    if _code(process):
        sys.exit(1)  # dvc has printed why; running stages finish


def _dvc(words: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a stage reads no input
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.exit(dvc(["--wait-for-lock", *words]))
