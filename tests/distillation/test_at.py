"""Attention transfer: the authors' numbers, and the bound of its value."""

import pytest
import torch

from pipeline.distillation.at import attention_distance
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector


@pytest.mark.vectors("at")
def test_agrees_with_the_authors(vector: Vector) -> None:
    assert_agrees(vector, lambda a: attention_distance(a["feat_s"], a["feat_t"]))


def test_reaches_its_bound_where_the_attention_is_on_different_cells() -> None:
    student, teacher = torch.zeros(1, 2, 3, 4), torch.zeros(1, 5, 3, 4)
    student[..., 0, 0], teacher[..., 2, 3] = 7.0, -0.5
    assert attention_distance(student, teacher).item() == pytest.approx(2 / 12, rel=1e-6)


def test_does_not_see_the_scale() -> None:
    features = torch.randn(2, 3, 4, 4)
    assert attention_distance(5 * features, features).item() == pytest.approx(0, abs=1e-9)
