"""One trial: train a candidate's student and evaluate it, each with a record that says whether it is up to date."""

import csv
import json
import shutil
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.comparison.cost import Cost, count_cost
from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_json
from pipeline.distillation.student import student_identity, student_objective, train_student
from pipeline.errors import ArtifactError
from pipeline.measure.evaluate import evaluate_checkpoint
from pipeline.measure.machine import gpu_joules, machine_record, peak_memory_bytes
from pipeline.params.sections import Split
from pipeline.params.tree import Params
from pipeline.records.files import read_record, record, write_record
from pipeline.stage_table import run_stages
from pipeline.training.device import best_device
from pipeline.training.network import new_network
from pipeline.training.objective import Task
from pipeline.training.resume import short_hash


@record
class TrainingRecord:
    """trained.json: what a trial's training depended on and what it cost."""

    inputs: str  # hash of parameters, data, teacher and code
    seconds_per_iteration: float  # median of the logged windows
    peak_memory_bytes: int  # of the process
    gpu_peak_memory_bytes: int | None
    gpu_watts: float | None  # mean power, not energy: of a resumed training only the last part is measured
    agreement: float | None  # share of cells on which student and teacher agree, 0..1, last logged batches
    cost: Cost
    machine: dict[str, Any]


def read_training(trial: Trial, paths: ComparisonPaths) -> TrainingRecord:
    """Read the record of a finished training.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    return read_record(TrainingRecord, paths.trials / trial.name / "trained.json", "compare")


def is_finished(trial: Trial, params: Params, split: Split, paths: ComparisonPaths) -> bool:
    """Tell whether a trial is evaluated and nothing it depends on has changed: parameters, data, teacher, code."""
    return _is_trained(trial, params, paths) and _is_evaluated(trial, params, split, paths)


def run_trial(trial: Trial, params: Params, split: Split, paths: ComparisonPaths, log: Path) -> None:
    """Train the student and evaluate it on `split`, or whichever is still to do; output is appended to `log`.

    Needs a process of its own: the peak memory of the process is recorded as the training's.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as text, redirect_stdout(text), redirect_stderr(text):
        if not _is_trained(trial, params, paths):
            shutil.rmtree(paths.trials / trial.name, ignore_errors=True)
            _train(trial, params, paths)
        if not _is_evaluated(trial, params, split, paths):
            _evaluate(trial, params, split, paths)


def _train(trial: Trial, params: Params, paths: ComparisonPaths) -> None:
    folder = paths.trials / trial.name
    begun, joules_before = time.monotonic(), gpu_joules()
    stage = run_stages(params, trial.name, trial.run)["student"]
    train_student(
        name=trial.name,
        run=trial.run,
        methods=stage.settings["methods"],
        training=replace(params.training, devices=1),  # time and memory are compared for one device
        code=stage.code_digest,
        classes=paths.classes,
        samples=paths.samples,
        statistics=paths.statistics,
        teacher=paths.teacher,
        source=paths.teacher,  # unused: a recipe never prunes
        pretrained=paths.pretrained,
        scratch=paths.scratch,
        out=folder,
    )
    joules, seconds = gpu_joules(), time.monotonic() - begun
    peak = peak_memory_bytes()  # before anything else takes memory
    gpu_peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    segmenter, design, _ = new_network(
        trial.run.network, ClassTable.load(paths.classes), trial.run.seed, paths.pretrained
    )
    task = Task.of(params.training, None)
    objective = student_objective(
        trial.run, stage.settings["methods"], task, segmenter, design.class_names, paths.teacher
    )
    with (folder / "training.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    write_record(
        folder / "trained.json",
        TrainingRecord(
            inputs=_training_inputs(trial, params, paths),
            seconds_per_iteration=1 / median(float(row["iterations_per_s"]) for row in curve),
            peak_memory_bytes=peak,
            gpu_peak_memory_bytes=gpu_peak,
            gpu_watts=None if joules is None or joules_before is None else (joules - joules_before) / seconds,
            agreement=float(curve[-1]["agreement"]) if "agreement" in curve[-1] else None,
            cost=count_cost(objective.to(best_device()), params.training.crop_height, params.training.crop_width),
            machine=machine_record(),
        ),
    )


def _evaluate(trial: Trial, params: Params, split: Split, paths: ComparisonPaths) -> None:
    folder = paths.trials / trial.name
    evaluate_checkpoint(
        name=trial.name,
        method=trial.run.method,
        weights=trial.run.distill,
        seed=trial.run.seed,
        evaluation=replace(params.evaluation, split=split),
        input_size=(params.export.height, params.export.width),
        classes=paths.classes,
        samples=paths.samples,
        checkpoint=folder / "checkpoint.safetensors",
        out=folder / split,
        metrics=folder / split / "metrics.json",
    )
    write_json(folder / split / "evaluated.json", {"inputs": _evaluation_inputs(trial, params, split)})


def _is_trained(trial: Trial, params: Params, paths: ComparisonPaths) -> bool:
    try:
        trained = read_training(trial, paths)
    except ArtifactError:
        return False
    return trained.inputs == _training_inputs(trial, params, paths)


def _is_evaluated(trial: Trial, params: Params, split: Split, paths: ComparisonPaths) -> bool:
    path = paths.trials / trial.name / split / "evaluated.json"
    return path.is_file() and json.loads(path.read_text()) == {"inputs": _evaluation_inputs(trial, params, split)}


def _training_inputs(trial: Trial, params: Params, paths: ComparisonPaths) -> str:
    stage = run_stages(params, trial.name, trial.run)["student"]
    identity = student_identity(
        **stage.settings, code=stage.code_digest, classes=paths.classes, samples=paths.samples,
        teacher=paths.teacher, source=paths.teacher, pretrained=paths.pretrained,
    )  # fmt: skip
    return short_hash(identity)


def _evaluation_inputs(trial: Trial, params: Params, split: Split) -> str:
    code = run_stages(params, trial.name, trial.run)["evaluate"].code_digest
    return short_hash([asdict(params.evaluation), split, [params.export.height, params.export.width], code])
