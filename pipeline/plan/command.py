"""Estimate GPU memory and hours of a profile's trainings, before anything is trained.

Every training step runs once on tensors without contents, so no GPU is needed. Memory is counted. Times are estimates:
a kernel reaches 40 % of the card's operations or 70 % of its bandwidth, and takes at least 2.5 microseconds.
Evaluation, export and data loading are not included. A pruned run counts as if it were not pruned.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from models.build import build_segmenter
from pipeline.data.classes import ClassTable
from pipeline.distillation.method import run_methods
from pipeline.distillation.objective import distillation_objective
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams
from pipeline.params.tree import Params, load_params
from pipeline.plan.fake_gpu import GIBIBYTE
from pipeline.plan.step_cost import CARDS, Card, StepCost, fits, step_cost
from pipeline.stage_table import CLASSES
from pipeline.training.network import design_of
from pipeline.training.objective import SupervisedObjective, Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--card", choices=CARDS, default="h100", help="the GPU to plan for")
    parser.add_argument("--classes", type=int, default=19, help="number of classes, if the dataset is not prepared")


def run(arguments: argparse.Namespace) -> None:
    params, card, classes = load_params(), CARDS[arguments.card], Path(CLASSES)
    names = tuple(ClassTable.load(classes).names) if classes.is_file() else tuple(map(str, range(arguments.classes)))
    trainings = {"teacher": (params.teacher_run, params.teacher_training)}
    trainings |= {name: (run, params.training) for name, run in params.runs.items()}
    hours, shared = 0.0, params.training
    print(f"{card.name}, {len(names)} classes, batch {shared.batch_size}, precision {shared.precision}")
    print(
        f"{'training':28}{'crops':>12}{'memory':>11}{'of it fixed':>13}{'TFLOP/step':>12}{'steps/s':>9}{'steps':>9}"
        f"{'hours':>8}"
    )
    for name, (trained, training) in trainings.items():
        cost = cost_of(trained, training, params, names, card)
        advice = "" if fits(cost, card) else _advice(trained, training, params, names, card)
        hours += trained.iterations * cost.seconds / 3600
        crops = f"{training.crop_height}x{training.crop_width}"
        print(
            f"{name:28}{crops:>12}{cost.peak_bytes / GIBIBYTE:7.1f} GiB{cost.fixed_bytes / GIBIBYTE:9.1f} GiB"
            f"{cost.flops / 1e12:12.2f}{1 / cost.seconds:9.1f}{trained.iterations:9}"
            f"{trained.iterations * cost.seconds / 3600:8.2f}  {advice}",
            flush=True,
        )
    print(f"{'all trainings':28}{hours:74.2f}")


def cost_of(
    run: RunParams, training: TrainingParams, params: Params, class_names: tuple[str, ...], card: Card
) -> StepCost:
    """Return the cost of one update of a run."""
    task = Task.of(training, None)
    student = build_segmenter(design_of(run.network, class_names))
    objective = SupervisedObjective(student, task)
    if run.distill:
        teacher = build_segmenter(design_of(params.teacher.network, class_names))
        objective = distillation_objective(student, teacher, run, run_methods(run.distill, params.methods), task)
    return step_cost(objective, training, run.momentum_shift, card)


def _advice(run: RunParams, training: TrainingParams, params: Params, class_names: tuple[str, ...], card: Card) -> str:
    """Return which setting to change if a run does not fit."""
    batch = training.batch_size
    for parts in (parts for parts in range(2, batch // 2 + 1) if batch % parts == 0):
        if fits(cost_of(run, replace(training, accumulate=parts), params, class_names, card), card):
            return f"does not fit: set training.accumulate to {parts}"
    return "does not fit: lower training.crop_height and crop_width, or batch_size"
