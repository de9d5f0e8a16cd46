"""Trusting the teacher cell by cell: which cells, and what stands in for the others."""

import math

import pytest
import torch

from pipeline.distillation.experimental.ferkd import FerKD, Trust, calibrated_divergence, trusted_cells
from pipeline.distillation.kd import class_divergence
from pipeline.distillation.method import method_params
from pipeline.errors import ParamsError
from tests.distillation.outputs import make, random_labels, random_output
from tests.raising import raises


def _logits(*distributions: list[float]) -> torch.Tensor:
    """One image of one row, a cell for each distribution over the classes."""
    return torch.tensor(distributions, dtype=torch.float64).log().T.reshape(1, len(distributions[0]), 1, -1)


SURE, MODERATE, UNSURE = [0.9, 0.05, 0.05], [0.6, 0.2, 0.2], [0.34, 0.33, 0.33]


def test_a_wrong_teacher_is_followed_only_where_it_is_moderately_sure() -> None:
    teacher = _logits(SURE, SURE, MODERATE, UNSURE, UNSURE, SURE)
    labels = torch.tensor([[[0, 1, 1, 1, 0, 255]]])
    trusted = trusted_cells(teacher, labels, 0.4, 0.8, "correct")
    assert trusted[0, 0].tolist() == [True, False, True, False, True, True]


def test_by_confidence_it_does_not_matter_whether_the_teacher_is_right() -> None:
    teacher = _logits(SURE, SURE, MODERATE, MODERATE, UNSURE, UNSURE)
    for labels in ([0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0]):
        trusted = trusted_cells(teacher, torch.tensor([[labels]]), 0.4, 0.8, "confidence")
        assert trusted[0, 0].tolist() == [False, False, True, True, False, False]
    nobody_knows = torch.full((1, 1, 6), 255)
    assert trusted_cells(teacher, nobody_knows, 0.4, 0.8, "confidence").all()


@pytest.mark.parametrize("trust", ["correct", "confidence"])
def test_the_whole_loss_is_what_its_cells_come_to(trust: Trust) -> None:
    torch.manual_seed(0)
    student, teacher, labels = random_output(4, 4, 6, 7), random_output(4, 4, 6, 7), random_labels(6, 7)
    found = make(FerKD, trust=trust, unsure_below=0.45, sure_above=0.7)(student, teacher, labels)

    total, soft, hard = 0.0, 0, 0
    softmaxes = (logits.detach().double().softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2).tolist()
                 for logits in (student.logits, teacher.logits))  # fmt: skip
    for ours, theirs, label in zip(*softmaxes, labels.flatten().tolist(), strict=True):
        follows = 0.45 <= max(theirs) <= 0.7 or label == 255
        if trust == "correct":
            follows = follows or theirs.index(max(theirs)) == label
        target = theirs if follows else [0.9 * (k == label) + 0.1 / 3 for k in range(3)]
        total += sum(t * math.log(t / s) for t, s in zip(target, ours, strict=True))
        soft, hard = soft + follows, hard + (not follows)
    assert found.item() == pytest.approx(total / (soft + hard), rel=1e-5)
    assert min(soft, hard) >= 10


def test_how_to_trust_is_one_of_two_words_and_whether_it_is_right_counts_by_default() -> None:
    assert method_params("ferkd", {}).trust == "correct"
    assert method_params("ferkd", {"trust": "confidence"}).trust == "confidence"
    with raises(ParamsError, "methods.ferkd.trust"):
        method_params("ferkd", {"trust": "always"})


def test_matches_its_definition() -> None:
    student, teacher = _logits([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]), _logits([0.7, 0.2, 0.1], [0.98, 0.01, 0.01])
    labels, trusted = torch.tensor([[[0, 2]]]), torch.tensor([[[True, False]]])
    first = sum(t * math.log(t / s) for t, s in zip((0.7, 0.2, 0.1), (0.5, 0.3, 0.2), strict=True))
    smoothed = (0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3)
    second = sum(t * math.log(t / s) for t, s in zip(smoothed, (0.2, 0.2, 0.6), strict=True))
    found = calibrated_divergence(student, teacher, labels, trusted, 0.1).item()
    assert found == pytest.approx((first + second) / 2, rel=1e-12)


def test_a_teacher_that_is_trusted_everywhere_is_plain_distillation() -> None:
    student, teacher = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64).unbind(0)
    labels = torch.full((2, 4, 4), 255)
    found = calibrated_divergence(student, teacher, labels, trusted_cells(teacher, labels, 0.5, 0.9, "correct"), 0.1)
    assert found.item() == pytest.approx(class_divergence(student, teacher, 1.0).item(), rel=1e-10)


def test_without_smoothing_a_distrusted_cell_is_its_cross_entropy() -> None:
    student, teacher = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64).unbind(0)
    labels = torch.randint(5, (2, 4, 4))
    found = calibrated_divergence(student, teacher, labels, torch.zeros(2, 4, 4, dtype=torch.bool), 0.0)
    assert found.item() == pytest.approx(torch.nn.functional.cross_entropy(student, labels).item(), rel=1e-10)
