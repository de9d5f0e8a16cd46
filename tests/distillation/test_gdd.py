"""GDD against its authors' arrays, against its definition, and for what must always hold."""

import math

import pytest
import torch
from torch import Tensor

from models.segmenter import SegmentationOutput
from pipeline.distillation.gdd import GenerativeDenoise, channel_divergence
from tests.vectors.reading import Vector, weights_under


def _gdd(vector: Vector, dtype: torch.dtype) -> tuple[GenerativeDenoise, dict[str, Tensor]]:
    arrays = {name: array.to(dtype) for name, array in vector.arrays().items()}
    method = GenerativeDenoise(
        arrays["feat_s"].shape[1], arrays["feat_t"].shape[1], vector.hyper["temp_gdd"], noise_std=1.0
    ).to(dtype)
    method.load_state_dict(
        {name.replace("generation.", "generator."): w for name, w in weights_under(arrays, "w.").items()}
    )
    return method, arrays


@pytest.mark.vectors("gdd")
def test_agrees_with_the_authors_in_loss_and_every_gradient(vector: Vector) -> None:
    method, arrays = _gdd(vector, torch.float64)
    student = arrays["feat_s"].clone().requires_grad_()
    loss = vector.hyper["alpha_gdd"] * method.divergence(student, arrays["feat_t"], arrays["noise"])
    loss.backward()

    assert loss.item() == pytest.approx(vector.expected["loss"], rel=1e-9)
    assert student.grad is not None
    torch.testing.assert_close(student.grad, arrays["grad_feat_s"], rtol=1e-8, atol=1e-14)
    expected = weights_under(arrays, "grad_w.")
    assert len(expected) == len(list(method.parameters()))
    for name, parameter in method.named_parameters():
        theirs = expected[name.replace("generator.", "generation.")]
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, theirs, rtol=1e-8, atol=1e-12)


@pytest.mark.vectors("gdd")
def test_agrees_with_the_authors_in_single_precision(vector: Vector) -> None:
    method, arrays = _gdd(vector, torch.float32)
    loss = vector.hyper["alpha_gdd"] * method.divergence(arrays["feat_s"], arrays["feat_t"], arrays["noise"])
    assert loss.item() == pytest.approx(vector.expected["loss"], rel=1e-4)


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


def _output(channels: int, height: int, width: int) -> SegmentationOutput:
    features = torch.randn(2, channels, height, width, requires_grad=True)
    return SegmentationOutput(torch.zeros(2, 3, height, width), None, torch.zeros(2, 4, height, width), features)


def test_only_student_and_method_get_gradients() -> None:
    method, student, teacher = GenerativeDenoise(4, 6, 4.0, 1.0), _output(4, 5, 7), _output(6, 5, 7)
    teacher = teacher._replace(backbone_features=teacher.backbone_features.detach())
    method(student, teacher).backward()
    assert student.backbone_features.grad is not None
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_equal_channels_need_no_alignment() -> None:
    assert not list(GenerativeDenoise(6, 6, 4.0, 1.0).align.parameters())


def test_another_teacher_size_is_brought_to_the_students() -> None:
    method = GenerativeDenoise(4, 6, 4.0, 0.0)
    assert torch.isfinite(method(_output(4, 5, 7), _output(6, 9, 13)))


def test_noise_is_one_plane_for_all_channels_and_follows_the_seed() -> None:
    method, student, teacher = GenerativeDenoise(4, 6, 4.0, 1.0), _output(4, 5, 7), _output(6, 5, 7)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return method(student, teacher).item()

    torch.manual_seed(3)
    plane = torch.randn(2, 1, 5, 7)
    assert loss(3) == method.divergence(student.backbone_features, teacher.backbone_features, plane).item()
    assert loss(3) == loss(3) != loss(4)
