"""Run `dvc repro` with stages side by side: those that do not need each other share the cores.

DVC itself runs one stage after the other. Here each of them is a `dvc repro` of its own, `--jobs` of them at a time.
What is timed (stage benchmark) runs alone in between.
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
AHEAD = ("stages.preflight", "stages.student", "stages.export")  # import most of what is large
FIRST = "preflight"  # it and all before it run alone
TIMED = "benchmark"
SIDE_BY_SIDE = (
    ("pretrain", "teacher", "student", "evaluate", "inspect", "export", "quantize", "engine"),
    ("release",),
)
"""Scripts whose stages run side by side, before what is timed and after it. The earlier one goes first."""
CHATTY = ("dvc.repo.scm_context", "dvc.dvcfile")  # loggers that tell after each stage how to commit dvc.lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = 2 if driver_is_missing() else 1
    told = "how many stages at a time; they divide the cores, and would share a GPU"
    parser.add_argument("--jobs", type=int, default=default, help=f"{told} (default: 2, with an NVIDIA driver 1)")


def run(arguments: argparse.Namespace) -> None:
    if arguments.jobs < 1:
        raise ParamsError(f"--jobs {arguments.jobs}: give 1 or more")
    for sentence in recover(Path.cwd()):
        print(sentence, flush=True)
    # Of this profile only: without a target, DVC looks at all.
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
    """Return the names of those that each of the stages reads from."""
    made_by = {out: stage.name for stage in stages for out in stage.outs}
    return {stage.name: {made_by[path] for path in stage.deps if path in made_by} for stage in stages}


def _import_ahead() -> None:
    """Python compiles a module at its first import: let it do so while the data are prepared, on one core."""
    for name in AHEAD:
        import_module(name)


def side_by_side(stages: Sequence[Stage], jobs: int) -> None:
    """Bring each stage up to date as soon as those are that it needs, the first of the list first."""
    # The caller's own number goes first.
    shared = {"OMP_NUM_THREADS": str(max(1, available_threads() // jobs)), **os.environ}
    waiting, ready, running = TopologicalSorter(needs(stages)), set[str](), dict[str, BaseProcess]()
    waiting.prepare()
    while waiting.is_active():
        ready |= {*waiting.get_ready()}
        for name in [stage.name for stage in stages if stage.name in ready][: jobs - len(running)]:
            ready.remove(name)
            # It alone: what comes before is up to date, and in use by the others.
            running[name] = _start("repro", "--single-item", name, environment=shared)
        connection.wait([process.sentinel for process in running.values()])
        for name in [name for name, process in running.items() if process.exitcode is not None]:
            _finish(running.pop(name))
            waiting.done(name)


def _start(*words: str, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Begin a dvc command in a fork of this process, which has imported DVC already: that is most of its time."""
    process = FORK.Process(target=_dvc, args=(words, environment or {}))
    process.start()
    return process


def _code(process: BaseProcess) -> int:
    process.join()
    return process.exitcode or 0


def _finish(process: BaseProcess) -> None:
    if _code(process):
        sys.exit(1)  # dvc has said why; those that are running finish


def _dvc(words: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a stage asks nothing
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.exit(dvc(["--wait-for-lock", *words]))
