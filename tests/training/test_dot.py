"""DOT: the authors' trajectory, and plain SGD where only one gradient comes."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from pipeline.training.dot import DOT
from tests.vectors.reading import Vector


@pytest.mark.vectors("dot_trajectory")
def test_agrees_with_the_authors_at_every_step(vector: Vector) -> None:
    arrays, hyper = vector.arrays(), vector.hyper
    p1, p2, p3 = (nn.Parameter(arrays[f"p{i}_init"]) for i in (1, 2, 3))
    optimizer = DOT([p1, p2, p3], hyper["lr"], hyper["momentum"], hyper["weight_decay"], hyper["delta"])
    for i in range(len(arrays["x"])):
        output = arrays["x"][i] @ p1 + p2
        task = (output - arrays["y_task"][i]).square().mean() + 0.5 * p3.square().mean()
        distill = (output - arrays["y_kd"][i]).square().mean()
        assert task.item() == pytest.approx(arrays["loss_task"][i].item(), rel=1e-10)
        assert distill.item() == pytest.approx(arrays["loss_kd"][i].item(), rel=1e-10)
        optimizer.zero_grad(set_to_none=True)
        with optimizer.distill_gradients():
            distill.backward(retain_graph=True)
        task.backward()
        optimizer.step()
        for name, parameter in (("p1", p1), ("p2", p2), ("p3", p3)):
            torch.testing.assert_close(parameter.data, arrays[f"{name}_traj"][i], rtol=1e-10, atol=1e-12)


def _after(optimizer_of: type[torch.optim.Optimizer], kept: bool, **settings: float) -> Tensor:
    """A parameter after three steps along given gradients, which are the distillation's if `kept`."""
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = optimizer_of([parameter], **settings)  # type: ignore[reportCallIssue]
    for scale in (1.0, 0.5, -2.0):
        with optimizer.distill_gradients() if kept else nullcontext():  # type: ignore[reportAttributeAccessIssue]
            parameter.grad = scale * torch.tensor([0.3, 0.1])
        optimizer.step()
        parameter.grad = None
    return parameter.detach()


def test_a_task_gradient_alone_is_sgd() -> None:
    ours = _after(DOT, False, lr=0.1, momentum=0.9, weight_decay=0.01, shift=0.075)
    torch.testing.assert_close(ours, _after(torch.optim.SGD, False, lr=0.1, momentum=0.9, weight_decay=0.01))


def test_a_distill_gradient_alone_is_sgd_without_decay() -> None:
    ours = _after(DOT, True, lr=0.1, momentum=0.9, weight_decay=0.0, shift=0.075)
    torch.testing.assert_close(ours, _after(torch.optim.SGD, False, lr=0.1, momentum=0.9))
