"""DIST: the authors' numbers, both parts apart, and the definition of a correlation."""

import numpy as np
import pytest
import torch

from pipeline.distillation.dist import DIST, correlation_distance
from pipeline.errors import TrainingError
from tests.distillation.agreement import assert_agrees
from tests.distillation.outputs import make, random_labels, random_output
from tests.raising import raises
from tests.vectors.reading import Vector


@pytest.mark.vectors("dist_seg")
@pytest.mark.parametrize(("inter", "intra", "expected"), [(1.0, 0.0, "inter"), (0.0, 1.0, "intra")])
def test_each_part_agrees_with_the_authors(vector: Vector, inter: float, intra: float, expected: str) -> None:
    arrays = vector.arrays()
    value = correlation_distance(arrays["logit_s"], arrays["logit_t"], inter, intra)
    assert value.item() == pytest.approx(vector.expected[expected], rel=1e-9)


@pytest.mark.vectors("dist_seg")
def test_agrees_with_the_authors(vector: Vector) -> None:
    beta, gamma = vector.hyper["beta"], vector.hyper["gamma"]
    assert_agrees(vector, lambda a: correlation_distance(a["logit_s"], a["logit_t"], beta, gamma), student="logit_s")


def test_a_teacher_without_an_auxiliary_head_is_named() -> None:
    student = random_output(4, 4, 5, 6)
    with raises(TrainingError, "auxiliary", "teacher"):
        make(DIST)(student, student._replace(auxiliary_logits=None), random_labels(40, 48))


def test_inter_is_numpys_correlation_of_probabilities() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(1, 5, 2, 2, dtype=torch.float64), torch.randn(1, 5, 2, 2, dtype=torch.float64)
    p, q = (x.softmax(1)[0].flatten(1).T.numpy() for x in (student, teacher))
    expected = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    assert correlation_distance(student, teacher, 1.0, 0.0).item() == pytest.approx(expected, rel=1e-6)
