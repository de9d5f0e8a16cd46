"""MGD: the authors' numbers, and what the mask does."""

import pytest
import torch

from pipeline.distillation.mgd import MGD
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
