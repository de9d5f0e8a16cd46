"""FitNet's hint against the authors' numbers."""

import pytest
import torch

from pipeline.distillation.fitnet import FitNet, mean_squared_distance
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient
from tests.distillation.outputs import channels, make
from tests.vectors.reading import Vector, weights_under


def _fitnet(arrays: Arrays) -> FitNet:
    method = make(FitNet, *(channels(head=arrays[name].shape[1]) for name in ("feat_s", "feat_t")))
    method.to(arrays["feat_s"].dtype)
    method.align.load_state_dict(weights_under(arrays, "w.conv."))
    return method


@pytest.mark.vectors("fitnet")
def test_agrees_with_the_authors(vector: Vector) -> None:
    def loss(arrays: Arrays) -> torch.Tensor:
        return mean_squared_distance(_fitnet(arrays).align(arrays["feat_s"]), arrays["feat_t"])

    assert_agrees(vector, loss)


@pytest.mark.vectors("fitnet")
def test_agrees_with_the_authors_in_the_gradient_of_the_alignment(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _fitnet(arrays)
    mean_squared_distance(method.align(arrays["feat_s"]), arrays["feat_t"]).backward()
    assert_gradient(method.align.weight.grad, arrays["grad_w.conv.weight"])
