"""Trusting the teacher cell by cell: which cells, and what stands in for the others."""

import math

import pytest
import torch

from pipeline.distillation.experimental.ferkd import calibrated_divergence, trusted_cells
from pipeline.distillation.kd import class_divergence


def _logits(*distributions: list[float]) -> torch.Tensor:
    """One image of one row, a cell for each distribution over the classes."""
    return torch.tensor(distributions, dtype=torch.float64).log().T.reshape(1, len(distributions[0]), 1, -1)


def test_a_wrong_teacher_is_followed_only_where_it_is_moderately_sure() -> None:
    teacher = _logits([0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.6, 0.2, 0.2], [0.34, 0.33, 0.33], [0.34, 0.33, 0.33],
                      [0.9, 0.05, 0.05])  # fmt: skip
    labels = torch.tensor([[[0, 1, 1, 1, 0, 255]]])
    assert trusted_cells(teacher, labels, 0.4, 0.8)[0, 0].tolist() == [True, False, True, False, True, True]


def test_matches_its_definition() -> None:
    student, teacher = _logits([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]), _logits([0.7, 0.2, 0.1], [0.98, 0.01, 0.01])
    labels, trusted = torch.tensor([[[0, 2]]]), torch.tensor([[[True, False]]])
    first = sum(t * math.log(t / s) for t, s in zip((0.7, 0.2, 0.1), (0.5, 0.3, 0.2), strict=True))
    smoothed = (0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3)
    second = sum(t * math.log(t / s) for t, s in zip(smoothed, (0.2, 0.2, 0.6), strict=True))
    found = calibrated_divergence(student, teacher, labels, trusted, 0.1).item()
    assert found == pytest.approx((first + second) / 2, rel=1e-12)


def test_a_teacher_that_is_trusted_everywhere_is_plain_distillation() -> None:
    student, teacher = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64).unbind(0)
    labels = torch.full((2, 4, 4), 255)
    found = calibrated_divergence(student, teacher, labels, trusted_cells(teacher, labels, 0.5, 0.9), 0.1)
    assert found.item() == pytest.approx(class_divergence(student, teacher, 1.0).item(), rel=1e-10)


def test_without_smoothing_a_distrusted_cell_is_its_cross_entropy() -> None:
    student, teacher = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64).unbind(0)
    labels = torch.randint(5, (2, 4, 4))
    found = calibrated_divergence(student, teacher, labels, torch.zeros(2, 4, 4, dtype=torch.bool), 0.0)
    assert found.item() == pytest.approx(torch.nn.functional.cross_entropy(student, labels).item(), rel=1e-10)
