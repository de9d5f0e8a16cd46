"""Stochastic gradient descent with the polynomial schedule of the segmentation literature."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.sgd import sgd

from models.without_compiler import without_compiler
from pipeline.training.dot import DOT


def make_optimizer(
    parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float, shift: float, fused: bool
) -> torch.optim.Optimizer:
    """Build SGD, or DOT if there is a momentum shift, over all trained parameters; weight decay on all, as in mmseg."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if shift:
        return DOT(trained, lr, momentum, weight_decay, shift)
    kind = FlatSGD if trained[0].device.type == "cpu" else torch.optim.SGD
    optimizer = kind(trained, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
    for group in optimizer.param_groups:
        for parameter in group["params"]:  # else a refused first step would leave uninitialized momentum
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class FlatSGD(torch.optim.SGD):
    """SGD on parameters as flat rows in their memory order.

    PyTorch's fused kernel for CPUs takes fourteen times as long for channels-last weights as for such a row.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **settings: Any):
        self.parameters = list(parameters)
        with without_compiler():
            super().__init__([nn.Parameter(_row(p.detach(), p)) for p in self.parameters], **settings)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[reportIncompatibleMethodOverride]: it takes no closure
        """Call SGD's function, not SGD.step, which would import the compiler."""
        rows, gradients, buffers = [], [], []
        for row, parameter in zip(self.param_groups[0]["params"], self.parameters, strict=True):
            if parameter.grad is not None:
                rows.append(row)
                gradients.append(_row(parameter.grad, parameter))
                buffers.append(self.state[row]["momentum_buffer"])
        names = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize", "fused")
        options = {name: self.param_groups[0][name] for name in names}
        refused = getattr(self, "found_inf", None)  # set by the step: then the kernel changes nothing
        sgd(rows, gradients, buffers, has_sparse_grad=False, found_inf=refused, **options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def _row(tensor: Tensor, like: Tensor) -> Float[Tensor, " numbers"]:
    """Return a tensor's numbers in the memory order of `like`; for `like` itself, return a view."""
    order = sorted(range(like.dim()), key=lambda dim: (-like.stride(dim), -like.shape[dim]))
    return tensor.permute(order).reshape(-1)


def polynomial_rate(iteration: int, iterations: int, start: float, end: float, power: float) -> float:
    """Return the learning rate of an iteration: (start - end) * (1 - t/T)**power + end, mmseg's `poly` policy."""
    return (start - end) * (1 - iteration / iterations) ** power + end
