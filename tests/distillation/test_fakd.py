"""The surrogate of FAKD: the formula's numbers, the bound that it is, and the running covariance."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.distillation.experimental.fakd import FAKD, augmented_cross_entropy
from tests.distillation.agreement import Arrays, assert_agrees
from tests.distillation.outputs import channels, make
from tests.vectors.reading import Vector


def _loss(arrays: Arrays, strength: float) -> Tensor:
    return augmented_cross_entropy(
        arrays["feat_s"], arrays["classifier_w"], arrays["classifier_b"], arrays["logit_t"], arrays["label"],
        strength * arrays["cov_diag"],
    )  # fmt: skip


@pytest.mark.vectors("fakd_pixel")
def test_agrees_with_the_formula(vector: Vector) -> None:
    assert_agrees(vector, lambda arrays: _loss(arrays, vector.hyper["lam"]))


@pytest.mark.vectors("fakd_pixel")
def test_without_covariance_it_is_the_soft_cross_entropy_and_with_it_a_bound(vector: Vector) -> None:
    arrays = vector.arrays()
    assert _loss(arrays, 0.0).item() == pytest.approx(vector.expected["plain_soft_cross_entropy"], rel=1e-9)
    assert _loss(arrays, vector.hyper["lam"]).item() >= vector.expected["monte_carlo_expected_ce"]


@pytest.mark.parametrize("half", [False, True])
def test_the_running_covariance_is_that_of_all_cells_seen(half: bool) -> None:
    torch.manual_seed(0)
    method = make(FAKD, channels(classifier=nn.Conv2d(4, 3, kernel_size=1)), iterations=10)
    batches = [(torch.randn(2, 4, 5, 5) * (1 + i) + 30, torch.randint(2, (2, 5, 5))) for i in range(3)]
    for features, labels in batches:
        labels[:, 0] = 255
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            method._observe(features, labels)
    cells = torch.cat([f.permute(0, 2, 3, 1)[labels == 1] for f, labels in batches])
    torch.testing.assert_close(method.covariance[1], cells.var(dim=0, correction=0), rtol=1e-4, atol=1e-5)
    assert method.covariance[2].abs().max() == 0  # never seen
