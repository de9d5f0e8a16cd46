"""Compare distillation methods by one recipe over several seeds.

    python -m pipeline compare gdd cwd --seeds 3

reads   params.yaml, data/prepared/classes.json, data/curated (samples.csv, statistics.json),
        artifacts/teacher/checkpoint.safetensors
writes  artifacts/comparison/RECIPE/CANDIDATE_seed_N (kept, so that nothing is trained twice),
        reports/comparison/RECIPE/SPLIT
"""

import json
import multiprocessing
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from pydantic import TypeAdapter

from pipeline.cli import end_with_parent
from pipeline.comparison.plan import ComparisonPaths, Trial, plan_trials, with_recipe
from pipeline.comparison.trial import is_finished, run_trial
from pipeline.comparison.verdict import write_verdict
from pipeline.errors import ArtifactError, ParamsError, SegdistillError, TrainingError
from pipeline.params.runs import NO_TEACHER
from pipeline.params.sections import Split
from pipeline.params.tree import Params, load_params


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "candidates", nargs="*", help="methods, or keys of comparison.candidates in params.yaml (default: all)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, counted from 0")
    parser.add_argument("--split", choices=get_args(Split), help="split to evaluate on (default: evaluation.split)")
    parser.add_argument("--recipe", help="baseline whose recipe every candidate uses (default: comparison.recipe)")


def run(arguments: Namespace) -> None:
    """Run the comparison in the profile of the current folder."""
    if arguments.seeds < 1:
        raise ParamsError(f"--seeds {arguments.seeds}: at least 1 seed is needed")
    params = load_params()
    if arguments.recipe:
        params = with_recipe(params, arguments.recipe)
    recipe, split = params.comparison.recipe, arguments.split or params.evaluation.split
    paths = ComparisonPaths(
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        statistics=Path("data/curated/statistics.json"),
        teacher=Path("artifacts/teacher/checkpoint.safetensors"),
        pretrained=Path("artifacts/pretraining"),
        scratch=Path("scratch/comparison") / recipe,
        trials=Path("artifacts/comparison") / recipe,
        reports=Path("reports/comparison") / recipe / split,
    )
    compare(params, arguments.candidates, arguments.seeds, split, paths)


def compare(params: Params, candidates: list[str], seeds: int, split: Split, paths: ComparisonPaths) -> None:
    """Train and evaluate every candidate with every seed, then write tables and charts into `paths.reports`.

    Finished trials are not repeated, and an interrupted training goes on from its last state. Candidates that were
    finished earlier with as many seeds and on this split stay in the table. One that cannot be trained (its loss
    becomes infinite) is left out, and the others are compared.

    Raises ParamsError for an unknown candidate or a split that is trained on, ArtifactError for missing inputs, and
    TrainingError with the log of each trial that failed; where that is the baseline's, at once.
    """
    trials = plan_trials(params, candidates, seeds)
    if split in params.training.splits:
        raise ParamsError(f"--split {split} is among training.splits: evaluate on a split that is not trained on")
    missing = [str(path) for path in (paths.classes, paths.samples, paths.teacher) if not path.is_file()]
    if missing:
        raise ArtifactError(f"missing: {', '.join(missing)}. Run `dvc repro teacher` first")
    waiting = [trial for trial in trials if not is_finished(trial, params, split, paths)]
    failed = _run_all(waiting, len(trials), params, split, paths)
    asked = {trial.candidate for trial in trials}
    others = [trial for trial in plan_trials(params, [], seeds) if trial.candidate not in asked]
    unfinished = {trial.candidate for trial in others if not is_finished(trial, params, split, paths)}
    compared = [trial for trial in (*trials, *others) if trial.candidate not in failed.keys() | unfinished]
    if len({trial.candidate for trial in compared}) > 1:  # the baseline is one
        write_verdict(compared, params, split, paths)
    if failed:
        raise TrainingError("\n  ".join(["not compared:", *failed.values()]))


def _run_all(
    waiting: Sequence[Trial], total: int, params: Params, split: Split, paths: ComparisonPaths
) -> dict[str, str]:
    """Run trials one after the other, each in a process of its own, because its peak memory is recorded.

    Returns what failed, by candidate; its later seeds are not tried.
    """
    failed: dict[str, str] = {}
    finished = total - len(waiting)
    if finished:
        print(f"{finished} of {total} trials are finished already", file=sys.stderr)
    sent = json.dumps(asdict(params))  # the classes of curation's rules cannot be pickled
    context = multiprocessing.get_context("spawn")  # a fork would start with this process's memory
    begun = time.monotonic()
    for done, trial in enumerate(waiting):
        if trial.candidate in failed:
            continue
        minutes = (time.monotonic() - begun) / 60
        left = f", {minutes / done * (len(waiting) - done):.0f} min left" if done else ""
        log = paths.trials / "logs" / f"{trial.name}.log"
        print(f"{finished + done}/{total} trials finished{left}; now {trial.name} (log: {log})", flush=True)
        with ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=end_with_parent) as pool:
            try:
                pool.submit(_run_in_process, trial, sent, split, paths, log).result()
            except SegdistillError as error:
                failed[trial.candidate] = f"{trial.name}: {error} (log: {log})"
                if trial.candidate == NO_TEACHER:
                    raise TrainingError(failed[trial.candidate]) from error
                print(failed[trial.candidate], file=sys.stderr)
            except BrokenProcessPool as error:
                raise TrainingError(
                    f"{trial.name}: its process was killed, most likely because memory ran out (log: {log}). "
                    f"Finished trials are kept: run the same command again"
                ) from error
    return failed


def _run_in_process(trial: Trial, params: str, split: Split, paths: ComparisonPaths, log: Path) -> None:
    run_trial(trial, TypeAdapter(Params).validate_json(params), split, paths, log)
