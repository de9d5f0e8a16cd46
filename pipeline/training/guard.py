"""Iterations that must not change the network: a loss or a gradient that is no number, or a loss that leaps."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

MEMORY = 0.98  # of the running mean: about fifty iterations
WARM_UP = 20  # iterations in which no loss counts as a leap


class LossGuard(nn.Module):
    """Decides on the device, so that no step waits for the host; what it found is read when the loop logs.

    A bad loss is multiplied with NaN before it is differentiated: the gradient, summed over all processes, then says to
    each of them that this update is void.

    Args:
        spike_factor: a loss above so many times its running mean is bad; 0 looks at NaN and infinity only.
    """

    mean_loss: Tensor
    accepted: Tensor
    refused: Tensor
    first_refused: Tensor
    first_refused_loss: Tensor

    def __init__(self, spike_factor: float):
        super().__init__()
        self.spike_factor = spike_factor
        self.register_buffer("mean_loss", torch.zeros(()))
        self.register_buffer("accepted", torch.zeros(()))
        self.register_buffer("refused", torch.zeros(()))
        self.register_buffer("first_refused", torch.full((), -1.0))
        self.register_buffer("first_refused_loss", torch.zeros(()))

    @torch.no_grad()
    def weight_of(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """1 for a loss to learn from, NaN for one not to."""
        good = loss.isfinite()
        if self.spike_factor:
            usual = self.mean_loss / (1 - MEMORY ** self.accepted.clamp(min=1))
            good &= (self.accepted < WARM_UP) | (loss <= self.spike_factor * usual)
        return torch.where(good, 1.0, torch.nan)

    @torch.no_grad()
    def judge(self, iteration: int, loss: Float[Tensor, ""], good: Bool[Tensor, ""]) -> None:
        """Take down whether the iteration's update was applied."""
        first = ~good & (self.refused == 0)
        self.first_refused.copy_(torch.where(first, float(iteration), self.first_refused))
        self.first_refused_loss.copy_(torch.where(first, loss, self.first_refused_loss))
        self.refused += ~good
        self.accepted += good
        kept = torch.where(good, loss, self.mean_loss)  # a loss that is no number must not enter, even times zero
        self.mean_loss.copy_(torch.where(good, MEMORY * self.mean_loss + (1 - MEMORY) * kept, self.mean_loss))


class Statistics:
    """The running statistics of every BatchNorm that learns, as they were before an iteration that came to nothing."""

    def __init__(self, module: nn.Module):
        norms = (norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm))
        self.live = [
            tensor
            for norm in norms
            if norm.training
            for tensor in (norm.running_mean, norm.running_var, norm.num_batches_tracked)
            if tensor is not None
        ]
        self.before = [tensor.clone() for tensor in self.live]

    def keep(self) -> None:
        for before, live in zip(self.before, self.live, strict=True):
            before.copy_(live)

    def restore_unless(self, good: Bool[Tensor, ""]) -> None:
        for before, live in zip(self.before, self.live, strict=True):
            live.copy_(torch.where(good, live, before))
