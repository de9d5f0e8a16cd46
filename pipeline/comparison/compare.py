"""Compare distillation methods by one recipe over several seeds.

    python -m pipeline compare gdd cwd --seeds 3
    python -m pipeline compare gdd cwd --seeds 3 --budget time   # every candidate gets the baseline's time

reads   params.yaml, data/prepared/classes.json, data/curated (samples.csv, statistics.json),
        artifacts/teacher/checkpoint.safetensors
writes  artifacts/comparison/RECIPE/CANDIDATE_seed_N (kept, so that nothing is trained twice),
        reports/comparison/RECIPE/SPLIT
"""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pipeline.comparison.pace import ROUNDS, Pace, equal_time, probe, read_pace, write_pace
from pipeline.comparison.plan import Budget, ComparisonPaths, Trial, plan_trials, with_recipe
from pipeline.comparison.process import in_process
from pipeline.comparison.trial import is_finished, run_trial
from pipeline.comparison.verdict import write_verdict
from pipeline.errors import ArtifactError, Diverged, ParamsError, SegdistillError, TrainingError
from pipeline.params.runs import NO_TEACHER
from pipeline.params.sections import Split
from pipeline.params.tree import Params, load_params


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "candidates", nargs="*", help="methods, or keys of comparison.candidates in params.yaml (default: all)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, counted from 0")
    parser.add_argument("--split", choices=get_args(Split), help="split to evaluate on (default: evaluation.split)")
    told = "give all candidates the same iterations (default), or the same time, which is measured; run nothing else"
    parser.add_argument("--budget", choices=get_args(Budget), default="iterations", help=told)
    parser.add_argument("--recipe", help="baseline whose recipe every candidate uses (default: comparison.recipe)")


def run(arguments: Namespace) -> None:
    """Run the comparison in the profile of the current folder."""
    if arguments.seeds < 1:
        raise ParamsError(f"--seeds {arguments.seeds}: give 1 or more")
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
    compare(params, arguments.candidates, arguments.seeds, split, paths, arguments.budget)


def compare(
    params: Params, candidates: list[str], seeds: int, split: Split, paths: ComparisonPaths,
    budget: Budget = "iterations",
) -> None:  # fmt: skip
    """Train and evaluate every candidate with every seed, then write tables and charts into `paths.reports`.

    Finished trials are not repeated, and an interrupted training continues from its last state. Candidates that were
    finished earlier with as many seeds and on this split stay in the tables, also those of the other budget. A
    candidate that diverges is named there, without numbers.

    Raises ParamsError for an unknown candidate or a split that is trained on, ArtifactError for missing inputs, and
    TrainingError with the log of each trial that failed for another reason. If the baseline fails, it stops at once.
    """
    trials = plan_trials(params, candidates, seeds)
    if split in params.training.splits:
        raise ParamsError(f"--split {split} is among training.splits: evaluate on a split that is not trained on")
    missing = [str(path) for path in (paths.classes, paths.samples, paths.teacher) if not path.is_file()]
    if missing:
        raise ArtifactError(f"missing: {', '.join(missing)}. Run `dvc repro teacher` first")
    failed = dict[str, SegdistillError]()
    if budget == "time":
        paces = _paces(trials, params, paths, failed)
        trials = equal_time([trial for trial in trials if trial.candidate in (NO_TEACHER, *paces)], paces)
    waiting = [trial for trial in trials if not is_finished(trial, params, split, paths)]
    _run_all(waiting, len(trials), params, split, paths, failed)
    compared = {each: _finished(each, params, seeds, split, paths) for each in get_args(Budget)}
    diverged = {name: str(error) for name, error in failed.items() if isinstance(error, Diverged)}
    if any(compared.values()):
        write_verdict(compared, diverged, params, split, paths)
    if others := [str(error) for name, error in failed.items() if name not in diverged]:
        raise TrainingError("\n  ".join(["not compared:", *others]))


def _finished(budget: Budget, params: Params, seeds: int, split: Split, paths: ComparisonPaths) -> list[Trial]:
    """Return this budget's trials of candidates finished with every seed; none without the baseline and a candidate."""
    trials = plan_trials(params, [], seeds)
    if budget == "time":
        paces = _known_paces(trials, params, paths)
        trials = equal_time([trial for trial in trials if trial.candidate in (NO_TEACHER, *paces)], paces)
    unfinished = {trial.candidate for trial in trials if not is_finished(trial, params, split, paths)}
    finished = [trial for trial in trials if trial.candidate not in unfinished]
    compared = {trial.candidate for trial in finished}
    return finished if NO_TEACHER in compared and len(compared) > 1 else []


def _known_paces(trials: Sequence[Trial], params: Params, paths: ComparisonPaths) -> dict[str, Pace]:
    """Return the paces that were measured before, by candidate; the baseline has none."""
    found = {trial.candidate: read_pace(trial, params, paths) for trial in trials if trial.seed == 0}
    return {candidate: pace for candidate, pace in found.items() if pace}


def _paces(
    trials: Sequence[Trial], params: Params, paths: ComparisonPaths, failed: dict[str, SegdistillError]
) -> dict[str, Pace]:
    """Measure the candidates whose pace on this machine is not known, in turns with the baseline, in own processes."""
    paces = {name: pace for name, pace in _known_paces(trials, params, paths).items() if pace.holds_here}
    missing = [trial for trial in trials if trial.seed == 0 and trial.candidate not in paces]
    rounds = {trial.candidate: list[float]() for trial in missing}
    if rounds.keys() != {NO_TEACHER}:
        for number in range(ROUNDS):
            for trial in missing:
                print(f"timing {trial.candidate}, round {number + 1} of {ROUNDS}", flush=True)
                if trial.candidate not in failed:
                    seconds = in_process(probe, trial, params, paths, name=f"{trial.candidate}_pace", failed=failed)
                    rounds[trial.candidate].append(seconds)
        for trial in missing:
            if trial.candidate not in (NO_TEACHER, *failed):
                seconds, baseline = rounds[trial.candidate], rounds[NO_TEACHER]
                paces[trial.candidate] = write_pace(trial, params, paths, seconds, baseline)
    return paces


def _run_all(
    waiting: Sequence[Trial], total: int, params: Params, split: Split, paths: ComparisonPaths,
    failed: dict[str, SegdistillError],
) -> None:  # fmt: skip
    """Run trials one after the other, each in its own process, because the process's peak memory is recorded.

    If a candidate fails with one seed, its later seeds are not tried.
    """
    finished = total - len(waiting)
    if finished:
        print(f"{finished}/{total} trials are finished already", file=sys.stderr)
    begun = time.monotonic()
    for done, trial in enumerate(waiting):
        if trial.candidate in failed:
            continue
        minutes = (time.monotonic() - begun) / 60
        left = f", {minutes / done * (len(waiting) - done):.0f} min left" if done else ""
        print(f"{finished + done}/{total} trials finished{left}; now {trial.name}", flush=True)
        in_process(run_trial, trial, params, paths, split, name=trial.name, failed=failed)
