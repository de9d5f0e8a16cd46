"""Operations over the processes of one training, so that together they compute what one process would."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def process_count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def all_gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes in order, without a gradient; each must give the same number of rows."""
    if process_count() == 1:
        return rows
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(process_count())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def broadcast_from_first(values: Tensor) -> Tensor:
    """Give all processes the first one's random numbers."""
    if process_count() > 1:
        dist.broadcast(values, src=0)
    return values


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean over all processes, without a gradient."""
    if process_count() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / process_count()


def use_sync_batchnorm(module: nn.Module, kind: str) -> None:
    """Let every BatchNorm inside normalize over the images of all processes; names and tensors do not change."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            joint = nn.SyncBatchNorm.convert_sync_batchnorm(child) if kind == "cuda" else SyncBatchNormCPU.of(child)
            setattr(module, name, joint)
        else:
            use_sync_batchnorm(child, kind)


class SyncBatchNormCPU(nn.BatchNorm2d):
    """SyncBatchNorm for CPUs; PyTorch's own runs only on GPUs."""

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "SyncBatchNormCPU":
        joint = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats).to(norm.weight)
        joint.load_state_dict(norm.state_dict())
        return joint.train(norm.training).requires_grad_(norm.weight.requires_grad)

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        cells = x.numel() // x.shape[1] * process_count()
        mean = all_reduce(x.sum(dim=(0, 2, 3))) / cells
        centered = x - mean[:, None, None]
        variance = all_reduce(centered.square().sum(dim=(0, 2, 3))) / cells
        self.num_batches_tracked += 1  # type: ignore[reportOperatorIssue]: every BatchNorm here has statistics
        for running, new in ((self.running_mean, mean), (self.running_var, variance * cells / (cells - 1))):
            running.lerp_(new.detach(), self.momentum)  # type: ignore[reportOptionalMemberAccess, reportArgumentType]
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], centered, scale[:, None, None]).to(input.dtype)
