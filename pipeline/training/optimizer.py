"""Stochastic gradient descent with the polynomial schedule of the segmentation literature."""

from collections.abc import Iterable

import torch
from torch import nn

from pipeline.training.dot import DistillationOriented
from pipeline.training.objective import Loss, SupervisedObjective


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    momentum_shift: float,
) -> torch.optim.Optimizer:
    """SGD over every parameter that is trained, or DOT where the momentum is shifted; weight decay on all, as mmseg."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if momentum_shift:
        return DistillationOriented(trained, learning_rate, momentum, weight_decay, momentum_shift)
    return torch.optim.SGD(trained, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True)


def differentiate(
    loss: Loss, objective: SupervisedObjective, optimizer: torch.optim.Optimizer, max_gradient_norm: float
) -> None:
    """Leave gradients for the optimizer's step, those of each part no longer than `max_gradient_norm`."""
    optimizer.zero_grad(set_to_none=True)
    if isinstance(optimizer, DistillationOriented) and loss.distill is not None:
        loss.distill.backward(retain_graph=True)
        _limit(objective, max_gradient_norm)
        optimizer.keep_distill_gradients()
        loss.task.backward()
    else:
        loss.total.backward()
    _limit(objective, max_gradient_norm)


def _limit(objective: SupervisedObjective, max_gradient_norm: float) -> None:
    for part in objective.limited_apart():
        nn.utils.clip_grad_norm_(part.parameters(), max_gradient_norm)


def polynomial_rate(iteration: int, iterations: int, start: float, end: float, power: float) -> float:
    """Learning rate of an iteration: (start - end) * (1 - t/T)**power + end, mmseg's `poly` policy."""
    return (start - end) * (1 - iteration / iterations) ** power + end
