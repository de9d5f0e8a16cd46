"""Bilinear resizing: the deterministic form is PyTorch's, in value and in gradient."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from models.resize import bilinear, bilinear_weights


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("size", [(9, 13), (40, 31), (1, 1), (3, 50), (16, 8)])
@pytest.mark.parametrize("cells", [(9, 13), (1, 1), (2, 7), (6, 6), (8, 3)])
def test_two_products_are_the_kernel(cells: tuple[int, int], size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *cells, dtype=torch.float64, requires_grad=True)
    ours = bilinear(maps, *size)
    torch.use_deterministic_algorithms(False)
    theirs = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad((form * weight).sum(), maps) for form in (ours, theirs)))


@given(cells=st.integers(1, 40), size=st.integers(1, 80))
def test_every_place_is_a_mean(cells: int, size: int) -> None:
    weights = bilinear_weights(cells, size, torch.device("cpu"))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(size, dtype=torch.float64))
    assert (weights > 0).sum(dim=1).max() <= 2


def test_autocast_does_not_shorten_float32() -> None:
    maps = torch.randn(1, 2, 5, 6)
    expected = bilinear(maps.double(), 20, 24)
    with torch.autocast("cpu", torch.bfloat16):
        ours = bilinear(maps, 20, 24)
    torch.testing.assert_close(ours, expected.float())
