"""Stochastic gradient descent with the polynomial schedule of the segmentation literature."""

from collections.abc import Iterable

import torch
from torch import nn


def make_optimizer(
    parameters: Iterable[nn.Parameter], learning_rate: float, momentum: float, weight_decay: float
) -> torch.optim.SGD:
    """SGD over every parameter that is trained; weight decay on all of them, as mmseg does."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return torch.optim.SGD(trained, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True)


def polynomial_rate(iteration: int, iterations: int, start: float, end: float, power: float) -> float:
    """Learning rate of an iteration: (start - end) * (1 - t/T)**power + end, mmseg's `poly` policy."""
    return (start - end) * (1 - iteration / iterations) ** power + end
