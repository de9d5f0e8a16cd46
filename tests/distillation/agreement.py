"""Comparing a loss and its gradient with a reference vector, in double and in single precision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.vectors.reading import Vector

Arrays = dict[str, Tensor]


def assert_agrees(
    vector: Vector,
    loss: Callable[[Arrays], Tensor],
    student: str = "feat_s",
    expected: str = "loss",
    gradient: str = "",
    relative: float = 1e-8,
) -> None:
    """Compare `loss` of the vector's arrays with its expected value, and its gradient with respect to `student`.

    Args:
        gradient: name of the array; by default `grad_` and the student's.
        relative: of the loss, and of the largest element of the gradient.
    """
    arrays = vector.arrays()
    arrays[student] = arrays[student].requires_grad_()
    value = loss(arrays)
    value.backward()
    assert value.item() == pytest.approx(vector.expected[expected], rel=relative)
    assert_gradient(arrays[student].grad, arrays[gradient or f"grad_{student}"], relative)

    single = loss(in_single_precision(vector.arrays()))
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(vector.expected[expected], rel=1e-4)


def assert_gradient(gradient: Tensor | None, expected: Tensor, relative: float = 1e-8) -> None:
    assert gradient is not None
    torch.testing.assert_close(gradient, expected, rtol=relative, atol=relative * expected.abs().max().item())


def in_single_precision(arrays: Arrays) -> Arrays:
    return {name: array.float() if array.is_floating_point() else array for name, array in arrays.items()}
