"""Stochastic gradient descent with the polynomial schedule of the segmentation literature, and one step of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from lightning.fabric import Fabric
from torch import Tensor, nn

from pipeline.data.dataset import TrainingBatch
from pipeline.training.dot import DistillationOriented
from pipeline.training.guard import LossGuard
from pipeline.training.objective import Loss, Objective


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    momentum_shift: float,
    fused: bool,
) -> torch.optim.Optimizer:
    """SGD over every parameter that is trained, or DOT where the momentum is shifted; weight decay on all, as mmseg."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if momentum_shift:
        return DistillationOriented(trained, learning_rate, momentum, weight_decay, momentum_shift)
    kind = InMemoryOrder if trained[0].device.type == "cpu" else torch.optim.SGD
    optimizer = kind(trained, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=fused)
    for group in optimizer.param_groups:
        for parameter in group["params"]:  # else a void first step would leave a momentum of whatever lay in memory
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class InMemoryOrder(torch.optim.SGD):
    """SGD to which every parameter is the row of numbers that it is in memory, whatever the layout.

    PyTorch's fused kernel for CPUs needs fourteen times as long for channels-last weights as for such a row.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **settings: Any):
        self.parameters = list(parameters)
        super().__init__([nn.Parameter(_row(p.detach(), p)) for p in self.parameters], **settings)

    def step(self, closure: None = None) -> None:  # type: ignore[reportIncompatibleMethodOverride]: it takes no closure
        for row, parameter in zip(self.param_groups[0]["params"], self.parameters, strict=True):
            row.grad = None if parameter.grad is None else _row(parameter.grad, parameter)
        super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def _row(tensor: Tensor, like: Tensor) -> Float[Tensor, " numbers"]:
    """The numbers in the order in which `like` has them in memory; of `like` itself a view."""
    order = sorted(range(like.dim()), key=lambda dim: (-like.stride(dim), -like.shape[dim]))
    return tensor.permute(order).reshape(-1)


class Stepper:
    """One update of everything that is trained, from the parts of a batch.

    Args:
        objective: on its device. In several processes the model that it becomes adds up their gradients.
        max_gradient_norm: of each of the objective's parts that are limited apart.
    """

    def __init__(
        self,
        fabric: Fabric,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        guard: LossGuard,
        max_gradient_norm: float,
    ):
        self.fabric = fabric
        self.objective = objective
        self.model = fabric.setup_module(objective, move_to_device=False)
        self.optimizer = optimizer
        wrapped = fabric.setup_optimizers(optimizer)
        assert not isinstance(wrapped, tuple)
        self.wrapped = wrapped
        self.guard = guard
        self.max_gradient_norm = max_gradient_norm
        self.scaled = bool(fabric.strategy.precision.state_dict())

    def step(self, iteration: int, parts: Sequence[TrainingBatch]) -> tuple[list[Loss], Bool[Tensor, ""]]:
        """Apply the mean gradient of the parts, if it and every loss are what they should be.

        Returns:
            The parts' losses, detached, and whether the update was applied.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses, weights = [], []
        for part in parts:
            last = part is parts[-1]
            with self.fabric.no_backward_sync(self.model, enabled=self._reduces_itself or not last):
                loss = self.model(*part.on(self.fabric.device))
                weight = self.guard.weight_of(loss.total)
                self._differentiate(loss, weight / len(parts))
            losses.append(loss.detached())
            weights.append(weight)
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        norm = self._limit_gradients()
        # The scale of fp16 is found by trial: a gradient that overflows there says nothing of the loss.
        good = torch.stack(weights).isfinite().all() if self.scaled else norm.isfinite()
        if not self.scaled:
            self.optimizer.found_inf = (~good).float()  # type: ignore[reportAttributeAccessIssue]: fused optimizers look at it
        self.wrapped.step()
        self.guard.judge(iteration, torch.stack([loss.total for loss in losses]).mean(), good)
        return losses, good

    @property
    def _reduces_itself(self) -> bool:
        """DOT differentiates one graph twice, which DDP does not follow: it is told to stay out."""
        return isinstance(self.optimizer, DistillationOriented) and self.fabric.world_size > 1

    def _differentiate(self, loss: Loss, weight: Tensor) -> None:
        if isinstance(self.optimizer, DistillationOriented) and loss.distill is not None:
            with self.optimizer.distill_gradients():
                self.fabric.backward(weight * loss.distill, model=self.model, retain_graph=True)
            self.fabric.backward(weight * loss.task, model=self.model)
        else:
            self.fabric.backward(weight * loss.total, model=self.model)

    def _limit_gradients(self) -> Tensor:
        """Shorten what is too long; the sum of the norms there were."""
        norm = self._limit_present()
        if isinstance(self.optimizer, DistillationOriented):
            with self.optimizer.distill_gradients():
                norm = norm + self._limit_present()
        return norm

    def _limit_present(self) -> Tensor:
        if self._reduces_itself:
            for parameter in self.objective.parameters():
                if parameter.grad is not None:
                    parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[reportAttributeAccessIssue]
        parts = self.objective.limited_apart()
        return torch.stack(
            [nn.utils.clip_grad_norm_(part.parameters(), self.max_gradient_norm) for part in parts]
        ).sum()


def polynomial_rate(iteration: int, iterations: int, start: float, end: float, power: float) -> float:
    """Learning rate of an iteration: (start - end) * (1 - t/T)**power + end, mmseg's `poly` policy."""
    return (start - end) * (1 - iteration / iterations) ** power + end
