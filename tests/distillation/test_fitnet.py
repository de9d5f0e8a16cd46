"""FitNet's hint against the authors' numbers."""

import pytest
import torch

from pipeline.distillation.fitnet import Hint, mean_squared_distance
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient
from tests.vectors.reading import Vector, weights_under


def _hint(arrays: Arrays) -> Hint:
    method = Hint(arrays["feat_s"].shape[1], arrays["feat_t"].shape[1]).to(arrays["feat_s"].dtype)
    method.align.load_state_dict(weights_under(arrays, "w.conv."))
    return method


@pytest.mark.vectors("fitnet")
def test_agrees_with_the_authors(vector: Vector) -> None:
    def loss(arrays: Arrays) -> torch.Tensor:
        return mean_squared_distance(_hint(arrays).align(arrays["feat_s"]), arrays["feat_t"])

    assert_agrees(vector, loss)


@pytest.mark.vectors("fitnet")
def test_agrees_with_the_authors_in_the_gradient_of_the_alignment(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _hint(arrays)
    mean_squared_distance(method.align(arrays["feat_s"]), arrays["feat_t"]).backward()
    assert_gradient(method.align.weight.grad, arrays["grad_w.conv.weight"])
