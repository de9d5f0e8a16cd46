"""MGD: the authors' numbers, and what the mask does."""

import pytest
import torch
from torch import Tensor

from models.segmenter import SegmentationOutput
from pipeline.distillation import mgd as module
from pipeline.distillation.mgd import MGD, uniforms_like
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient
from tests.distillation.outputs import channels, make
from tests.vectors.reading import Vector, weights_under


def _method(arrays: Arrays, hidden_share: float) -> MGD:
    student, teacher = (channels(backbone=arrays[name].shape[1]) for name in ("feat_s", "feat_t"))
    method = make(MGD, student, teacher, hidden_share=hidden_share).to(arrays["feat_s"].dtype)
    weights = weights_under(arrays, "w.").items()
    method.load_state_dict({name.replace("generation.", "generator."): weight for name, weight in weights})
    return method


@pytest.mark.vectors("mgd")
def test_agrees_with_the_authors(vector: Vector) -> None:
    def loss(arrays: Arrays) -> torch.Tensor:
        method = _method(arrays, vector.hyper["lambda_mgd"])
        return vector.hyper["alpha_mgd"] * method.error(arrays["feat_s"], arrays["feat_t"], arrays["uniform"])

    assert_agrees(vector, loss)


@pytest.mark.vectors("mgd")
def test_agrees_with_the_authors_in_every_weights_gradient(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _method(arrays, vector.hyper["lambda_mgd"])
    loss = vector.hyper["alpha_mgd"] * method.error(arrays["feat_s"], arrays["feat_t"], arrays["uniform"])
    loss.backward()
    theirs = weights_under(arrays, "grad_w.")
    assert len(theirs) == len(list(method.parameters()))
    for name, parameter in method.named_parameters():
        assert_gradient(parameter.grad, theirs[name.replace("generator.", "generation.")])


def test_hidden_cells_do_not_matter() -> None:
    torch.manual_seed(0)
    method, teacher = make(MGD, teacher=channels(6), hidden_share=0.5), torch.randn(1, 6, 3, 3)
    uniform = torch.zeros(1, 1, 3, 3)
    uniform[..., 1, 2] = 0.9  # above 1 - hidden_share: blanked out
    student = torch.randn(1, 4, 3, 3, requires_grad=True)
    method.error(student, teacher, uniform).backward()
    assert student.grad is not None
    assert student.grad[..., 1, 2].abs().max() == 0
    assert student.grad[..., 0, 0].abs().max() > 0


def test_as_many_cells_are_kept_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def rebuilt(_align: object, _generator: object, student: Tensor, kept: Tensor, _noise: Tensor) -> Tensor:
        shares.append(kept.float().mean().item())
        return student

    monkeypatch.setattr(module, "rebuild", rebuilt)
    method, maps = make(MGD, channels(1), channels(1), hidden_share=0.75), torch.zeros(1, 1, 1024, 1024).bfloat16()
    output, labels = SegmentationOutput(maps, None, maps, maps), torch.zeros(1, 1024, 1024, dtype=torch.int64)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        method(output, output, labels)
    assert shares == [pytest.approx(0.25, abs=0.0015)]  # three and a half standard deviations


@pytest.mark.parametrize(
    ("features", "draws"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_draws_are_never_in_half_precision(features: torch.dtype, draws: torch.dtype) -> None:
    assert uniforms_like(torch.zeros(2, 3, 4, 5, dtype=features)).dtype == draws
