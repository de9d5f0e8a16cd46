"""One update of all trained parameters, and the guard that refuses bad losses."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.data.crops import TrainingBatch
from pipeline.training.dot import DOT
from pipeline.training.fabric import Fabric
from pipeline.training.objective import Loss, Objective

MEMORY = 0.98  # decay of the running mean: about fifty iterations
WARM_UP = 20  # iterations in which no loss counts as a spike


class LossGuard(nn.Module):
    """Finds iterations that must not change the network: a loss or gradient that is NaN or infinite, or a spike.

    A spike is a loss above `spike_factor` times the running mean (0: no loss is one). The guard decides on the device,
    so that no step waits for the host. It multiplies a bad loss with NaN before the loss is differentiated. So the
    gradient, which is summed over all processes, tells each of them to skip this update.
    """

    mean_loss: Tensor
    accepted: Tensor
    refused: Tensor
    first_refused: Tensor
    first_refused_loss: Tensor

    def __init__(self, spike_factor: float):
        super().__init__()
        self.spike_factor = spike_factor
        for name in ("mean_loss", "accepted", "refused", "first_refused_loss"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("first_refused", torch.full((), -1.0))

    @torch.no_grad()
    def weight(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return 1 for a good loss, NaN for a bad one."""
        good = loss.isfinite()
        if self.spike_factor:
            usual = self.mean_loss / (1 - MEMORY ** self.accepted.clamp(min=1))
            good &= (self.accepted < WARM_UP) | (loss <= self.spike_factor * usual)
        return torch.where(good, 1.0, torch.nan)

    @torch.no_grad()
    def record(self, iteration: int, loss: Float[Tensor, ""], good: Bool[Tensor, ""]) -> None:
        """Record whether the iteration's update was applied."""
        first = ~good & (self.refused == 0)
        self.first_refused.copy_(torch.where(first, float(iteration), self.first_refused))
        self.first_refused_loss.copy_(torch.where(first, loss, self.first_refused_loss))
        self.refused += ~good
        self.accepted += good
        kept = torch.where(good, loss, self.mean_loss)  # a NaN must not enter the mean, even times zero
        self.mean_loss.copy_(torch.where(good, MEMORY * self.mean_loss + (1 - MEMORY) * kept, self.mean_loss))


class BatchNormSnapshot:
    """A copy of the running statistics of every BatchNorm in training mode, to restore after a refused iteration."""

    def __init__(self, module: nn.Module):
        norms = [norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
        self.live = [tensor for norm in norms if norm.training for tensor in norm.buffers()]
        self.before = [tensor.clone() for tensor in self.live]

    def take(self) -> None:
        for before, live in zip(self.before, self.live, strict=True):
            before.copy_(live)

    def restore_unless(self, good: Bool[Tensor, ""]) -> None:
        for before, live in zip(self.before, self.live, strict=True):
            live.copy_(torch.where(good, live, before))


class Stepper:
    """Updates all trained parameters from the parts of a batch; the objective must already be on its device."""

    def __init__(
        self, fabric: Fabric, objective: Objective, optimizer: torch.optim.Optimizer, guard: LossGuard,
        max_gradient_norm: float,
    ):  # fmt: skip
        self.fabric, self.objective, self.optimizer, self.guard = fabric, objective, optimizer, guard
        self.model = fabric.setup_module(objective, move_to_device=False)  # adds up the gradients of all processes
        self.wrapped: Any = fabric.setup_optimizers(optimizer)
        self.max_gradient_norm = max_gradient_norm  # of each of the objective's `grad_clip_groups`
        self.scaled = bool(fabric.strategy.precision.state_dict())  # fp16
        # DOT differentiates one graph twice, which DDP does not support: DDP's own reduction is switched off.
        self.reduces_itself = isinstance(optimizer, DOT) and fabric.world_size > 1

    def step(self, iteration: int, parts: Sequence[TrainingBatch]) -> tuple[list[Loss], Bool[Tensor, ""]]:
        """Apply the parts' mean gradient if it and all losses are good; return the losses and if it was applied."""
        losses, weights = self.gradients(parts)
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        norm = self._clip_gradients()
        # The scale of fp16 is found by trial, so a gradient that overflows says nothing about the loss.
        good = torch.stack(weights).isfinite().all() if self.scaled else norm.isfinite()
        if not self.scaled:
            self.optimizer.found_inf = (~good).float()  # type: ignore[reportAttributeAccessIssue]: fused optimizers read it
        self.wrapped.step()
        self.objective.advance()
        self.guard.record(iteration, torch.stack([loss.total for loss in losses]).mean(), good)
        return losses, good

    def gradients(self, parts: Sequence[TrainingBatch]) -> tuple[list[Loss], list[Tensor]]:
        """Leave the mean gradient of the parts in the parameters; return their losses, and 1 or NaN (bad) for each."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.fabric.device.type == "cuda":  # elsewhere it would only import the compiler, for a second
            torch.compiler.cudagraph_mark_step_begin()  # nothing reads the outputs of earlier steps
        losses, weights = [], []
        for number, part in enumerate(parts, start=1):
            with self.fabric.no_backward_sync(self.model, enabled=self.reduces_itself or number < len(parts)):
                loss = self.model(*part.on(self.fabric.device))
                weight = self.guard.weight(loss.total)
                self._differentiate(loss, weight / len(parts))
            losses.append(loss.detached())
            weights.append(weight)
        return losses, weights

    def _differentiate(self, loss: Loss, weight: Tensor) -> None:
        total = loss.total
        if isinstance(self.optimizer, DOT) and loss.distill is not None:
            with self.optimizer.distill_gradients():
                self.fabric.backward(weight * loss.distill, model=self.model, retain_graph=True)
            total = loss.task
        self.fabric.backward(weight * total, model=self.model)

    def _clip_gradients(self) -> Tensor:
        """Clip gradients that are too long; return the sum of the norms before clipping."""
        norm = self._clip_present()
        if isinstance(self.optimizer, DOT):
            with self.optimizer.distill_gradients():
                norm = norm + self._clip_present()
        return norm

    def _clip_present(self) -> Tensor:
        if self.reduces_itself:
            for parameter in self.objective.parameters():
                if parameter.grad is not None:
                    parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[reportAttributeAccessIssue]
        groups = self.objective.grad_clip_groups()
        norms = [nn.utils.clip_grad_norm_(group.parameters(), self.max_gradient_norm) for group in groups]
        return torch.stack(norms).sum()
