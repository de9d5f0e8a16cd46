"""Pixel-wise distillation: its definition, and the authors' numbers."""

import math

import pytest
import torch

from pipeline.distillation.kd import class_divergence
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector


@pytest.mark.vectors("kd_pixel")
def test_agrees_with_the_authors(vector: Vector) -> None:
    temperature = vector.hyper["temperature"]
    assert_agrees(vector, lambda a: class_divergence(a["logit_s"], a["logit_t"], temperature), student="logit_s")


def test_is_its_definition() -> None:
    student, teacher = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0])
    p = [math.exp(x / 2) / (math.exp(1.0) + 1) for x in (2.0, 0.0)]
    q = [math.exp(x / 2) / (math.exp(0.5) + math.exp(1.5)) for x in (1.0, 3.0)]
    expected = 4 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    shape = (1, 2, 1, 1)
    assert class_divergence(student.view(shape), teacher.view(shape), 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_is_zero_at_the_teacher_up_to_a_constant_at_each_cell() -> None:
    teacher = torch.randn(2, 3, 4, 5)
    assert class_divergence(teacher + torch.randn(2, 1, 4, 5), teacher, 4.0).item() == pytest.approx(0, abs=1e-6)
