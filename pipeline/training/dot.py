"""Distillation-Oriented Trainer (DOT), arXiv 2307.08436: an optimizer."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class DOT(torch.optim.Optimizer):
    """SGD with two momentum buffers; the distillation's gradient has a higher momentum than the task's.

    Each iteration has two backward passes: the distillation's inside `distill_gradients`, and the task's outside.
    `step` applies both. Weight decay is added to the task's gradient. A parameter with only one of the two gradients is
    stepped as by SGD.

    `shift` (the authors use 0.075 or 0.09) is taken from the task's momentum and added to the distillation's. So a
    constant gradient of the distillation counts (1 - momentum) / (1 - momentum - shift) times as much as with SGD. That
    is 4 times for momentum 0.9 and shift 0.075.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float, shift: float
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "shift": shift})
        self._aside: dict[Tensor, Tensor] = {}
        self.found_inf: Tensor | None = None  # as in torch's fused optimizers: 1 makes a step do nothing

    @contextmanager
    def distill_gradients(self) -> Iterator[None]:
        """Let `grad` of the parameters hold the distillation's gradients inside this block, the task's outside."""
        self._exchange()
        yield
        self._exchange()

    def _exchange(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                waiting = self._aside.pop(parameter, None)
                if parameter.grad is not None:
                    self._aside[parameter] = parameter.grad
                parameter.grad = waiting

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[reportIncompatibleMethodOverride]: it takes no closure
        void = self.found_inf is not None and bool(self.found_inf)  # only here does a step wait for the device
        for group in self.param_groups:
            for parameter in group["params"]:
                distill = self._aside.pop(parameter, None)
                if not void:
                    self._step(parameter, distill, group)

    def _step(self, parameter: nn.Parameter, distill: Tensor | None, group: dict[str, float]) -> None:
        task, state = parameter.grad, self.state[parameter]
        shift = group["shift"] if task is not None and distill is not None else 0.0
        decay = group["weight_decay"] * parameter
        moves = []
        if task is not None:
            moves.append(_advance(state, "momentum_buffer", task + decay, group["momentum"] - shift))
        if distill is not None:
            # Without a task gradient, decay joins the distillation's after the first step, as in the authors' code.
            gradient = distill + decay if task is None and "distill_buffer" in state else distill
            moves.append(_advance(state, "distill_buffer", gradient, group["momentum"] + shift))
        for move in moves:
            parameter.sub_(move, alpha=group["lr"])


def _advance(state: dict[str, Tensor], name: str, gradient: Tensor, momentum: float) -> Tensor:
    state[name] = state[name].mul_(momentum).add_(gradient) if name in state else gradient.clone()
    return state[name]
