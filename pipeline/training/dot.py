"""Distillation-Oriented Trainer (DOT), arXiv 2307.08436: an optimizer."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class DOT(torch.optim.Optimizer):
    """SGD with two momentum buffers: the gradient of the distillation keeps more of its own past than the task's.

    Two backward passes make an iteration: that of the distillation inside `distill_gradients`, that of the task
    outside; `step` applies both. Weight decay goes with the task; a parameter that one of the two alone reaches is
    stepped as by SGD. `shift` (of the authors: 0.075 or 0.09) goes from the task's momentum to the distillation's, so
    a constant gradient of it counts (1 - momentum) / (1 - momentum - shift) times as much as with SGD: 4 times at 0.9.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float, shift: float
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "shift": shift})
        self._aside: dict[Tensor, Tensor] = {}
        self.found_inf: Tensor | None = None  # as of torch's fused optimizers: 1 makes a step do nothing

    @contextmanager
    def distill_gradients(self) -> Iterator[None]:
        """Inside, `grad` of the parameters holds the gradients of the distillation, outside those of the task."""
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
        void = self.found_inf is not None and bool(self.found_inf)  # the one place where a step waits for the device
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
            # Where the task does not reach, decay goes with the distillation after the first step, as the authors do.
            gradient = distill + decay if task is None and "distill_buffer" in state else distill
            moves.append(_advance(state, "distill_buffer", gradient, group["momentum"] + shift))
        for move in moves:
            parameter.sub_(move, alpha=group["lr"])


def _advance(state: dict[str, Tensor], name: str, gradient: Tensor, momentum: float) -> Tensor:
    state[name] = state[name].mul_(momentum).add_(gradient) if name in state else gradient.clone()
    return state[name]
