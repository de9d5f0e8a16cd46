"""Run what a comparison still lacks, each trial in a process of its own, and write the verdict."""

import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.comparison.plan import NothingToCompare, Places, Trial, plan_trials
from pipeline.comparison.trial import is_finished, run_trial
from pipeline.comparison.verdict import write_verdict
from pipeline.door import end_with_parent
from pipeline.errors import SegdistillError
from pipeline.params import Params, Split


class TrialFailed(SegdistillError):
    """A training of the comparison ended without a result."""


def compare(params: Params, candidates: list[str], seeds: int, split: Split, places: Places) -> None:
    """Train and judge every candidate under every seed, then write tables and charts into `places.reports`.

    What is finished is not repeated, and a training that was interrupted goes on from its last state. Other candidates
    that were finished earlier, under as many seeds and on this split, are shown beside those that were asked for.

    Raises:
        NothingToCompare: an unknown candidate, a split that is trained on, or no dataset and no teacher yet.
        TrialFailed: a training died; its log says why.
    """
    trials = plan_trials(params, candidates, seeds)
    if split in params.training.splits:
        raise NothingToCompare(f"--split {split} is among training.splits: methods are compared on other images")
    missing = [str(path) for path in (places.classes, places.samples, places.teacher) if not path.is_file()]
    if missing:
        raise NothingToCompare(f"{', '.join(missing)} not there; run `dvc repro teacher` first")
    waiting = [trial for trial in trials if not is_finished(trial, params, split, places)]
    _run_all(waiting, len(trials), params, split, places)
    write_verdict([*trials, *_finished_others(trials, params, seeds, split, places)], params, split, places)


def _finished_others(trials: Sequence[Trial], params: Params, seeds: int, split: Split, places: Places) -> list[Trial]:
    """The trials of candidates that nobody asked for now, where all of a candidate's still hold."""
    asked = {trial.candidate for trial in trials}
    others = [trial for trial in plan_trials(params, [], seeds) if trial.candidate not in asked]
    unfinished = {trial.candidate for trial in others if not is_finished(trial, params, split, places)}
    return [trial for trial in others if trial.candidate not in unfinished]


def _run_all(waiting: Sequence[Trial], total: int, params: Params, split: Split, places: Places) -> None:
    with Overall(total - len(waiting), total) as overall:
        for trial in waiting:
            overall.begin(trial.name)
            log = places.runs / "logs" / f"{trial.name}.log"
            context = multiprocessing.get_context("spawn")  # a fork would begin with this process's memory
            with ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=end_with_parent) as pool:
                try:
                    pool.submit(run_trial, trial, params, split, places, log).result()
                except SegdistillError as error:
                    raise TrialFailed(f"{trial.name}: {error} (its output: {log})") from error
                except BrokenProcessPool as error:
                    raise TrialFailed(
                        f"{trial.name}: its process was killed, usually because memory ran out (its output: {log}). "
                        f"What is finished is kept: run the same command again"
                    ) from error
            overall.done()


class Overall:
    """One line for the whole comparison: a bar in a terminal, a line for each trial in a log."""

    def __init__(self, finished: int, total: int):
        self.finished, self.total, self.begun = finished, total, time.monotonic()
        self.already = finished
        self.interactive = sys.stderr.isatty()
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"), console=Console(stderr=True), disable=not self.interactive,
        )  # fmt: skip
        self.task = self.bar.add_task("comparing", total=total, completed=finished, left="")

    def __enter__(self) -> "Overall":
        self.bar.start()
        if self.already:
            self.bar.console.print(f"{self.already} of {self.total} trials are finished already")
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def begin(self, name: str) -> None:
        self.bar.update(self.task, description=name)
        if not self.interactive:
            print(f"{self.finished}/{self.total} trials  {self._left()}  now {name}", flush=True)

    def done(self) -> None:
        self.finished += 1
        self.bar.update(self.task, completed=self.finished, left=self._left())

    def _left(self) -> str:
        here = self.finished - self.already
        if not here:
            return ""
        seconds = (time.monotonic() - self.begun) / here * (self.total - self.finished)
        return f"{seconds / 60:.0f} min left"
