"""Cauchy-Schwarz divergence: the formula's numbers, and what a divergence must fulfil."""

import pytest
import torch

from pipeline.distillation.experimental.cauchy_schwarz import cauchy_schwarz_divergence
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector


@pytest.mark.vectors("cs_divergence")
@pytest.mark.parametrize(("over", "suffix"), [("classes", "class"), ("space", "spatial")])
def test_agrees_with_the_formula(vector: Vector, over: str, suffix: str) -> None:
    assert_agrees(
        vector,
        lambda a: cauchy_schwarz_divergence(a["logit_s"], a["logit_t"], over),
        student="logit_s", expected=f"loss_{suffix}_softmax", gradient=f"grad_logit_s_{suffix}",
    )  # fmt: skip


@pytest.mark.parametrize("over", ["classes", "space"])
def test_is_symmetric_and_zero_at_equality_only(over: str) -> None:
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert cauchy_schwarz_divergence(a, a, over).item() == pytest.approx(0, abs=1e-6)
    assert cauchy_schwarz_divergence(a, b, over).item() > 0.1
    assert cauchy_schwarz_divergence(a, b, over).item() == pytest.approx(
        cauchy_schwarz_divergence(b, a, over).item(), rel=1e-5
    )


def test_survives_certainty_in_different_classes() -> None:
    student = torch.tensor([500.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    value = cauchy_schwarz_divergence(student, torch.tensor([0.0, 500.0]).view(1, 2, 1, 1), "classes")
    value.backward()
    assert value.item() == pytest.approx(1000 - 2 * torch.log(torch.tensor(2.0)).item(), rel=1e-5)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
