"""PKD: the authors' numbers, and what it does not see."""

import pytest
import torch

from pipeline.distillation.pkd import pearson_distance
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector


@pytest.mark.vectors("pkd")
def test_agrees_with_the_authors(vector: Vector) -> None:
    assert_agrees(vector, lambda a: pearson_distance(a["feat_s"], a["feat_t"]))


def test_does_not_see_scale_and_offset_of_a_channel() -> None:
    features = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    scale = torch.tensor([0.5, 2.0, 30.0]).view(1, 3, 1, 1)
    assert pearson_distance(features * scale - 4, features).item() == pytest.approx(0, abs=1e-10)
