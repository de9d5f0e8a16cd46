"""BCKD: the authors' numbers, and what centering is for."""

import pytest
import torch

from pipeline.distillation.experimental.bckd import BCKD, binary_divergence
from tests.distillation.agreement import assert_agrees
from tests.distillation.outputs import make, random_labels, random_output
from tests.vectors.reading import Vector


@pytest.mark.vectors("bckd_cls")
def test_agrees_with_the_authors(vector: Vector) -> None:
    focus = vector.hyper["beta"]
    assert_agrees(vector, lambda a: binary_divergence(a["logit_s"], a["logit_t"], focus), student="logit_s")


def test_centered_scores_do_not_see_what_a_softmax_does_not_see() -> None:
    student, teacher, labels = random_output(4, 4, 5, 6), random_output(4, 4, 5, 6), random_labels(40, 48)
    shifted = student._replace(logits=student.logits + torch.randn(2, 1, 5, 6))
    centered, plain = make(BCKD, centered=True), make(BCKD, centered=False)
    assert centered(shifted, teacher, labels).item() == pytest.approx(
        centered(student, teacher, labels).item(), rel=1e-4
    )
    assert plain(shifted, teacher, labels).item() != pytest.approx(plain(student, teacher, labels).item(), rel=1e-2)
