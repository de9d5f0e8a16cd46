"""Equal time: how long an iteration of each candidate takes, and how many iterations fit into the baseline's time.

Every candidate trains a few iterations by itself. So the numbers hold only for the machine and the number of threads
that they were measured with, and only if nothing else ran there.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.comparison.trial import files_of, training_inputs
from pipeline.distillation.student import train_student
from pipeline.errors import ArtifactError
from pipeline.measure.machine import machine_record
from pipeline.params.runs import NO_TEACHER
from pipeline.params.tree import Params
from pipeline.records.files import read_record, record, write_record
from pipeline.stage_table import run_stages
from pipeline.threads import available_threads

ROUNDS = 3  # all candidates in turns, because the speed of a shared machine changes from minute to minute
PROBED = 12  # iterations of a candidate in each round
WARM_UP = 3  # of these: they allocate memory and decode the first images


@record
class Pace:
    """The time of an iteration of one candidate, and of the baseline."""

    inputs: str  # hash of parameters, data, teacher and code
    seconds: list[float]  # of an iteration in each round, including its share of the method's own training
    baseline_seconds: list[float]  # of an iteration of the baseline in the same rounds
    machine: dict[str, Any]
    threads: int

    @property
    def times_baseline(self) -> float:
        return median(ours / theirs for ours, theirs in zip(self.seconds, self.baseline_seconds, strict=True))

    @property
    def holds_here(self) -> bool:
        return (self.machine, self.threads) == (machine_record(), available_threads())


def read_pace(trial: Trial, params: Params, paths: ComparisonPaths) -> Pace | None:
    """Return the pace of a candidate, measured on this machine or another; None if its inputs have changed since."""
    try:
        pace = read_record(Pace, _file(trial, paths), "compare")
    except ArtifactError:
        return None
    return pace if pace.inputs == training_inputs(trial, params, paths) else None


def write_pace(
    trial: Trial, params: Params, paths: ComparisonPaths, seconds: list[float], baseline_seconds: list[float]
) -> Pace:
    """Write the seconds that `probe` returned in each round for a candidate and for the baseline."""
    pace = Pace(
        inputs=training_inputs(trial, params, paths), seconds=seconds, baseline_seconds=baseline_seconds,
        machine=machine_record(), threads=available_threads(),
    )  # fmt: skip
    write_record(_file(trial, paths), pace)
    return pace


def probe(trial: Trial, params: Params, paths: ComparisonPaths) -> float:
    """Train a few iterations of a candidate and return the seconds of one. Nothing else should run on the machine."""
    scratch = paths.scratch / "pace"
    shutil.rmtree(scratch, ignore_errors=True)
    often = {"log_every": 1, "checkpoint_every": PROBED + 1, "validate_every": 0, "checkpoint": "last"}
    training = replace(params.training, devices=1, **often)  # type: ignore[reportArgumentType]
    stage = run_stages(replace(params, training=training), trial.name, replace(trial.run, iterations=PROBED))["student"]
    train_student(
        name=trial.candidate, **stage.settings, **files_of(paths), code=stage.code_digest, statistics=paths.statistics,
        scratch=scratch, out=scratch / "out",
    )  # fmt: skip
    seconds = sum(_seconds(path) for path in (scratch / "out").glob("training*.csv")) / PROBED
    shutil.rmtree(scratch)
    return seconds


def _seconds(curve: Path) -> float:
    """Return a training's seconds from its log of every iteration, as if each took the median of the later ones."""
    rates = [float(row["iterations_per_s"]) for row in csv.DictReader(curve.read_text().splitlines())]
    return len(rates) / median(rates[min(WARM_UP, len(rates) - 1) :])


def equal_time(trials: Sequence[Trial], paces: Mapping[str, Pace]) -> list[Trial]:
    """Return the trials with as many iterations as fit into the baseline's time; the baseline does not change."""
    given = []
    for trial in trials:
        if trial.candidate != NO_TEACHER:
            iterations = round(trial.run.iterations / paces[trial.candidate].times_baseline)
            run = replace(trial.run, iterations=max(1, iterations))
            trial = trial._replace(run=run, in_equal_time=True)
        given.append(trial)
    return given


def _file(trial: Trial, paths: ComparisonPaths) -> Path:
    return paths.trials / "pace" / f"{trial.candidate}.json"
