"""Costs, against counts by hand."""

import pytest
import torch

from pipeline.comparison.trial import count_cost
from pipeline.distillation import METHODS
from pipeline.distillation.objective import DistillationObjective
from pipeline.training.objective import SupervisedObjective
from tests.distillation.outputs import build_method
from tests.toy import TOY_TASK, toy_segmenter


def test_a_baseline_costs_itself_only() -> None:
    cost = count_cost(SupervisedObjective(toy_segmenter()[0], TOY_TASK), 48, 64)
    assert cost.student_macs > 0
    assert (cost.training_only_parameters, cost.teacher_macs, cost.methods_macs) == (0, 0, 0)


def test_gdd_costs_its_two_convolutions() -> None:
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    chosen = {name: build_method(name, {}, student, teacher, 1) for name in ("gdd", "kd")}
    objective = DistillationObjective(student, teacher, chosen, {"gdd": 1.0, "kd": 1.0}, TOY_TASK)
    cost = count_cost(objective, 48, 64)
    c, cells = teacher.backbone_channels, 3 * 4
    assert student.backbone_channels == c  # so there is nothing to align
    assert cost.training_only_parameters == 2 * (9 * c * c + c)
    assert cost.methods_macs == cells * 2 * 9 * c * c
    assert cost.teacher_macs == cost.student_macs  # equal toys


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_counted(name: str) -> None:
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    method = build_method(name, {}, student, teacher, 1)
    objective = DistillationObjective(student, teacher, {name: method}, {name: 1.0}, TOY_TASK)
    cost = count_cost(objective, 48, 64)
    assert cost.teacher_macs > 0
    assert cost.training_only_parameters == sum(parameter.numel() for parameter in method.parameters())


def test_a_crop_that_is_drawn_small_is_not_made_smaller_again() -> None:
    small = toy_segmenter()[0]
    small.input_scale = 0.5
    whole = count_cost(SupervisedObjective(toy_segmenter()[0], TOY_TASK), 48, 64)
    drawn_small = count_cost(SupervisedObjective(small, TOY_TASK._replace(image_scale=0.5)), 48, 64)
    assert drawn_small == whole
    made_small_inside = count_cost(SupervisedObjective(small, TOY_TASK), 48, 64)
    assert made_small_inside.student_macs < whole.student_macs


def test_counting_moves_no_weight() -> None:
    objective = SupervisedObjective(toy_segmenter()[0], TOY_TASK)
    before = [parameter.clone() for parameter in objective.parameters()]
    count_cost(objective, 48, 64)
    assert all(torch.equal(a, b) for a, b in zip(before, objective.parameters(), strict=True))
