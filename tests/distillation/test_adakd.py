"""Weighing images by the teacher's loss: the formula, the curriculum, and what is unlabelled."""

import math

import pytest
import torch

from pipeline.distillation.experimental.adakd import AdaKD, image_weights, weighted_divergence
from pipeline.distillation.kd import class_divergence
from tests.distillation.outputs import make, random_labels, random_output


def _teacher_with_losses(*losses: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, label 0 everywhere; the teacher's cross-entropy of image i is losses[i]."""
    right = torch.tensor([math.exp(-loss) for loss in losses], dtype=torch.float64)
    logits = torch.stack([right, 1 - right], dim=1).log()[:, :, None, None].expand(-1, -1, 3, 3)
    return logits, torch.zeros(len(losses), 3, 3, dtype=torch.int64)


def test_matches_its_definition() -> None:
    teacher, labels = _teacher_with_losses(0.5, 1.0, 1.8)
    mean = (0.5 + 1.0 + 1.8) / 3
    expected = [math.exp(-1 / math.sqrt(math.exp(-2.0 * (loss - mean)))) for loss in (0.5, 1.0, 1.8)]
    total = sum(expected) / 3
    assert image_weights(teacher, labels, 2.0).tolist() == pytest.approx([e / total for e in expected], rel=1e-12)


def test_easy_images_count_more_at_first_and_hard_ones_at_last() -> None:
    teacher, labels = _teacher_with_losses(0.1, 1.5)
    first, middle, last = (image_weights(teacher, labels, contrast) for contrast in (1.0, 0.0, -1.0))
    assert first[0] > first[1]
    assert middle.tolist() == pytest.approx([1.0, 1.0])
    assert last[0] < last[1]


def test_the_contrast_falls_from_its_value_to_its_negative() -> None:
    method = make(AdaKD, contrast=1.0, ramp_iterations=4)
    teacher, labels = _teacher_with_losses(0.1, 1.5)
    student = random_output(4, 4, 3, 3)._replace(logits=torch.randn(2, 2, 3, 3, dtype=torch.float64))
    output = student._replace(logits=teacher)
    found = []
    for _ in range(6):
        calls = [method(student, output, labels).item() for _ in range(2)]  # as with accumulate: 2
        assert calls[0] == calls[1]
        found.append(calls[0])
        method.advance()
    expected = [
        weighted_divergence(student.logits, teacher, image_weights(teacher, labels, contrast)).item()
        for contrast in (1.0, 0.5, 0.0, -0.5, -1.0, -1.0)
    ]
    assert found == pytest.approx(expected, rel=1e-12)


def test_an_unlabelled_image_is_of_average_difficulty() -> None:
    teacher, labels = _teacher_with_losses(0.3, 0.7, 9.0)
    labels[2] = 255
    weights = image_weights(teacher, labels, 1.0)
    assert weights[1] < weights[2] < weights[0]
    assert torch.isfinite(image_weights(teacher, torch.full_like(labels, 255), 1.0)).all()


def test_equal_weights_are_plain_distillation() -> None:
    student, teacher = random_output(4, 4, 5, 5).logits, random_output(4, 4, 5, 5).logits
    labels = random_labels(5, 5)
    found = weighted_divergence(student, teacher, image_weights(teacher, labels, 0.0))
    assert found.item() == pytest.approx(class_divergence(student, teacher, 1.0).item(), rel=1e-5)
