"""One trial: train a candidate's student, count its cost, and evaluate it; each step records its inputs."""

import csv
import json
import shutil
import time
from dataclasses import asdict, replace
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_json
from pipeline.distillation.method import labels_at_cells
from pipeline.distillation.objective import DistillationObjective, resize_teacher
from pipeline.distillation.student import student_identity, student_objective, train_student
from pipeline.errors import ArtifactError
from pipeline.measure.evaluate import evaluate_checkpoint
from pipeline.measure.machine import gpu_joules, machine_record, peak_memory_bytes
from pipeline.params.sections import Split
from pipeline.params.tree import Params
from pipeline.records.files import read_record, record, write_record
from pipeline.stage_table import run_stages
from pipeline.training.device import best_device
from pipeline.training.loop import STATE
from pipeline.training.network import new_network
from pipeline.training.objective import SupervisedObjective, Task
from pipeline.training.resume import has_ended, short_hash

COUNTED_IMAGES = 2  # BatchNorm and cross-image methods need at least two


@record
class Cost:
    """Multiply-accumulates of convolutions and matrix products: forward pass, one training crop."""

    training_only_parameters: int  # of the methods' own layers
    student_macs: int
    teacher_macs: int
    methods_macs: int


@record
class TrainingRecord:
    """trained.json: the inputs and the cost of a trial's training."""

    inputs: str  # hash of parameters, data, teacher and code
    seconds_per_iteration: float  # median of the logged windows
    peak_memory_bytes: int  # of the process
    gpu_peak_memory_bytes: int | None
    gpu_watts: float | None  # mean power, not energy: only the last part of a resumed training is measured
    agreement: float | None  # share of cells on which student and teacher agree, 0..1, last logged batches
    cost: Cost
    machine: dict[str, Any]


def read_training(trial: Trial, paths: ComparisonPaths) -> TrainingRecord:
    """Read the record of a finished training; raises ArtifactError if it is missing or damaged."""
    return read_record(TrainingRecord, paths.trials / trial.name / "trained.json", "compare")


def is_finished(trial: Trial, params: Params, split: Split, paths: ComparisonPaths) -> bool:
    """Return whether a trial is evaluated and its inputs have not changed: parameters, data, teacher, code."""
    return _is_trained(trial, params, paths) and _is_evaluated(trial, params, split, paths)


def run_trial(trial: Trial, params: Params, paths: ComparisonPaths, split: Split) -> None:
    """Train the student and evaluate it on `split`; skip what is already done.

    Needs its own process, because the peak memory of the process is recorded as the training's.
    """
    folder = paths.trials / trial.name
    if not _is_trained(trial, params, paths):
        shutil.rmtree(folder, ignore_errors=True)
        _train(trial, params, paths)
    if not _is_evaluated(trial, params, split, paths):
        on_split = replace(params, evaluation=replace(params.evaluation, split=split))
        settings = run_stages(on_split, trial.name, trial.run)["evaluate"].settings
        evaluate_checkpoint(
            name=trial.name, **settings, classes=paths.classes, samples=paths.samples,
            checkpoint=folder / "checkpoint.safetensors", out=folder / split, metrics=folder / split / "metrics.json",
        )  # fmt: skip
        write_json(folder / split / "evaluated.json", {"inputs": _evaluation_inputs(trial, params, split)})


def _train(trial: Trial, params: Params, paths: ComparisonPaths) -> None:
    folder = paths.trials / trial.name
    for state in (paths.scratch / trial.name).glob(f"*/{STATE}"):
        if has_ended(state, trial.run.iterations):  # but has no record: nothing is left to measure
            shutil.rmtree(state.parent)
    begun, joules_before = time.monotonic(), gpu_joules()
    one_device = replace(params, training=replace(params.training, devices=1))  # time and memory are compared
    stage = run_stages(one_device, trial.name, trial.run)["student"]
    train_student(
        name=trial.name, **stage.settings, **files_of(paths), code=stage.code_digest, statistics=paths.statistics,
        scratch=paths.scratch, out=folder,
    )  # fmt: skip
    joules, seconds = gpu_joules(), time.monotonic() - begun
    peak = peak_memory_bytes()  # before anything else takes memory
    gpu_peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    classes = ClassTable.load(paths.classes)
    segmenter, design, _ = new_network(trial.run.network, classes, trial.run.seed, paths.pretrained)
    task, methods = Task.of(params.training, None), stage.settings["methods"]
    objective = student_objective(trial.run, methods, task, segmenter, design.class_names, paths.teacher)
    curve = list(csv.DictReader((folder / "training.csv").read_text().splitlines()))
    write_record(
        folder / "trained.json",
        TrainingRecord(
            inputs=training_inputs(trial, params, paths),
            seconds_per_iteration=1 / median(float(row["iterations_per_s"]) for row in curve),
            peak_memory_bytes=peak,
            gpu_peak_memory_bytes=gpu_peak,
            gpu_watts=None if joules is None or joules_before is None else (joules - joules_before) / seconds,
            agreement=float(curve[-1]["agreement"]) if "agreement" in curve[-1] else None,
            cost=count_cost(objective.to(best_device()), params.training.crop_height, params.training.crop_width),
            machine=machine_record(),
        ),
    )
    shutil.rmtree(paths.scratch / trial.name)


def _is_trained(trial: Trial, params: Params, paths: ComparisonPaths) -> bool:
    try:
        return read_training(trial, paths).inputs == training_inputs(trial, params, paths)
    except ArtifactError:
        return False


def _is_evaluated(trial: Trial, params: Params, split: Split, paths: ComparisonPaths) -> bool:
    path = paths.trials / trial.name / split / "evaluated.json"
    return path.is_file() and json.loads(path.read_text()) == {"inputs": _evaluation_inputs(trial, params, split)}


def training_inputs(trial: Trial, params: Params, paths: ComparisonPaths) -> str:
    stage = run_stages(params, trial.name, trial.run)["student"]
    return short_hash(student_identity(**stage.settings, **files_of(paths), code=stage.code_digest))


def files_of(paths: ComparisonPaths) -> dict[str, Any]:
    """Return the files that a training reads; `source` is not used, because a recipe never prunes."""
    files = {name: getattr(paths, name) for name in ("classes", "samples", "teacher", "pretrained")}
    return {**files, "source": paths.teacher}


def _evaluation_inputs(trial: Trial, params: Params, split: Split) -> str:
    stage = run_stages(params, trial.name, trial.run)["evaluate"]
    return short_hash([asdict(params.evaluation), split, stage.settings["resizing"], stage.code_digest])


def count_cost(objective: SupervisedObjective, height: int, width: int) -> Cost:
    """Count one forward pass on random images; this changes running statistics and queues of `objective`."""
    device, scale = next(objective.parameters()).device, objective.task.image_scale
    image = torch.rand(COUNTED_IMAGES, 3, height, width, device=device)
    labels = torch.randint(objective.network.classes, (COUNTED_IMAGES, height, width), device=device)
    objective.train()
    parameters = teacher_macs = methods_macs = 0
    with torch.no_grad():
        student_macs, student = _count(objective.network, image, scale)
        if isinstance(objective, DistillationObjective):
            teacher_macs, teacher = _count(objective.teacher, image, scale)
            teacher = resize_teacher(student, teacher)
            cells = labels_at_cells(labels, *student.logits.shape[-2:])
            methods_macs = sum(_count(method, student, teacher, cells)[0] for method in objective.methods.values())
            parameters = sum(parameter.numel() for parameter in objective.methods.parameters())
    return Cost(
        training_only_parameters=parameters, student_macs=student_macs, teacher_macs=teacher_macs,
        methods_macs=methods_macs,
    )  # fmt: skip


def _count(module: nn.Module, *inputs: object) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        output = module(*inputs)
    return counter.get_total_flops() // 2 // COUNTED_IMAGES, output
