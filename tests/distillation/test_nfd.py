"""NFD: the formula's numbers, its relation to the correlation, and channels that never fire."""

import pytest
import torch

from pipeline.distillation.nfd import NFD, normalized_distance
from tests.distillation.agreement import Arrays, assert_agrees
from tests.distillation.outputs import channels, make
from tests.vectors.reading import Vector, weights_under


@pytest.mark.vectors("nfd")
def test_agrees_with_the_formula(vector: Vector) -> None:
    def loss(arrays: Arrays) -> torch.Tensor:
        student, teacher = arrays["feat_s"], arrays["feat_t"]
        method = make(NFD, channels(student.shape[1]), channels(teacher.shape[1])).to(student.dtype)
        method.align.load_state_dict(weights_under(arrays, "w.align."))
        return normalized_distance(method.align(student), teacher)

    assert_agrees(vector, loss)


def test_is_twice_one_minus_the_correlation() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    pairs = zip(student.flatten(2).flatten(0, 1), teacher.flatten(2).flatten(0, 1), strict=True)
    correlations = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])
    expected = 2 * (1 - correlations.mean())
    assert normalized_distance(student, teacher).item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_channel_that_never_fires_has_a_finite_gradient() -> None:
    student = torch.zeros(1, 2, 4, 4, requires_grad=True)
    normalized_distance(student, torch.randn(1, 2, 4, 4)).backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
