"""CWD: its definition, its invariants, and the authors' numbers."""

import math

import pytest
import torch

from pipeline.distillation.cwd import CWDFeatures, channel_divergence
from tests.distillation.agreement import assert_agrees
from tests.distillation.outputs import channels, make
from tests.vectors.reading import Vector, weights_under


@pytest.mark.vectors("cwd_logits")
def test_agrees_with_the_authors_on_logits(vector: Vector) -> None:
    temperature = vector.hyper["temperature"]
    assert_agrees(vector, lambda a: channel_divergence(a["logit_s"], a["logit_t"], temperature), student="logit_s")


@pytest.mark.vectors("cwd_feature")
def test_agrees_with_the_authors_on_features(vector: Vector) -> None:
    def loss(arrays: dict[str, torch.Tensor]) -> torch.Tensor:
        student, teacher = arrays["feat_s"], arrays["feat_t"]
        method = make(CWDFeatures, channels(head=student.shape[1]), channels(head=teacher.shape[1])).to(student.dtype)
        method.align.load_state_dict(weights_under(arrays, "w.conv."))
        return channel_divergence(method.align(student), teacher, vector.hyper["temperature"])

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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_costs_rounding_only(dtype: torch.dtype, layout: torch.memory_format) -> None:
    """Gradients of 1e-8 that fp16 cannot hold come back multiplied by what the loss is scaled with."""
    torch.manual_seed(0)
    student, teacher = (torch.randn(2, 64, 32, 32).to(dtype).to(memory_format=layout) for _ in range(2))
    exact, half = student.double().requires_grad_(), student.requires_grad_()
    scale = 2.0**16
    ours, expected = channel_divergence(half, teacher, 4.0), channel_divergence(exact, teacher.double(), 4.0)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    (scale * ours).backward()
    (scale * expected).backward()
    assert half.grad is not None
    assert exact.grad is not None
    error = (half.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < (0.003 if dtype == torch.bfloat16 else 0.001)


def test_gradient_is_that_of_its_value() -> None:
    torch.manual_seed(0)
    student = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: channel_divergence(maps, teacher, 4.0), student)
