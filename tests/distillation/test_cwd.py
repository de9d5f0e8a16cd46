"""CWD: its definition, its invariants, and the authors' numbers."""

import math

import pytest
import torch

from pipeline.distillation.cwd import ChannelWiseFeatures, channel_divergence
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector, weights_under


@pytest.mark.vectors("cwd_logits")
def test_agrees_with_the_authors_on_logits(vector: Vector) -> None:
    temperature = vector.hyper["temperature"]
    assert_agrees(vector, lambda a: channel_divergence(a["logit_s"], a["logit_t"], temperature), student="logit_s")


@pytest.mark.vectors("cwd_feature")
def test_agrees_with_the_authors_on_features(vector: Vector) -> None:
    def loss(arrays: dict[str, torch.Tensor]) -> torch.Tensor:
        student, teacher = arrays["feat_s"], arrays["feat_t"]
        method = ChannelWiseFeatures(student.shape[1], teacher.shape[1], vector.hyper["temperature"]).to(student.dtype)
        method.align.load_state_dict(weights_under(arrays, "w.conv."))
        return channel_divergence(method.align(student), teacher, method.temperature)

    assert_agrees(vector, loss)


def test_divergence_matches_its_definition() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 2, 3, dtype=torch.float64), torch.randn(2, 3, 2, 3, dtype=torch.float64)
    temperature, expected = 4.0, 0.0
    for image in range(2):
        for channel in range(3):
            s = (student[image, channel].flatten() / temperature).tolist()
            t = (teacher[image, channel].flatten() / temperature).tolist()
            s_sum, t_sum = sum(map(math.exp, s)), sum(map(math.exp, t))
            for a, b in zip(s, t, strict=True):
                p, q = math.exp(b) / t_sum, math.exp(a) / s_sum
                expected += p * (math.log(p) - math.log(q))
    expected *= temperature**2 / (2 * 3)
    assert channel_divergence(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_divergence_is_zero_at_the_teacher_up_to_a_constant() -> None:
    teacher = torch.randn(2, 3, 4, 5)
    assert channel_divergence(teacher + 7.0, teacher, 4.0).item() == pytest.approx(0.0, abs=1e-6)


def test_divergence_survives_a_cell_far_below_the_maximum() -> None:
    student = torch.zeros(1, 1, 2, 2)
    student[..., 0, 0] = -1e5
    assert torch.isfinite(channel_divergence(student, torch.randn(1, 1, 2, 2), 4.0))
