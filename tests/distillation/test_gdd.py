"""GDD against its authors' arrays, against its definition, and for what must always hold."""

import pytest
import torch
from torch import Tensor

from pipeline.distillation.gdd import GDD
from tests.distillation.outputs import channels, make, random_labels, random_output
from tests.vectors.reading import Vector, weights_under


def _gdd(vector: Vector, dtype: torch.dtype) -> tuple[GDD, dict[str, Tensor]]:
    arrays = {name: array.to(dtype) for name, array in vector.arrays().items()}
    networks = [channels(backbone=arrays[name].shape[1]) for name in ("feat_s", "feat_t")]
    method = make(GDD, *networks, temperature=vector.hyper["temp_gdd"]).to(dtype)
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


def test_equal_channels_need_no_alignment() -> None:
    assert not list(make(GDD, channels(6), channels(6)).align.parameters())


def test_noise_is_one_plane_for_all_channels_and_follows_the_seed() -> None:
    method, student, teacher = make(GDD, teacher=channels(6)), random_output(4, 2, 5, 7), random_output(6, 2, 5, 7)
    labels = random_labels(40, 56)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return method(student, teacher, labels).item()

    torch.manual_seed(3)
    plane = torch.randn(2, 1, 5, 7)
    assert loss(3) == method.divergence(student.backbone_features, teacher.backbone_features, plane).item()
    assert loss(3) == loss(3) != loss(4)
