"""The cost of one training step on a GPU: memory, operations, traffic, and the time from these (roofline model)."""

import weakref
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from pipeline.data.crops import TrainingBatch
from pipeline.params.training import TrainingParams
from pipeline.plan.fake_gpu import GIBIBYTE, fake_fabric, fake_gpu
from pipeline.training.objective import Objective
from pipeline.training.optimizer import make_optimizer
from pipeline.training.step import LossGuard, Stepper

OF_PEAK_OPERATIONS, OF_BANDWIDTH = 0.4, 0.7  # shares of a card's data sheet that kernels reach
SHORTEST_KERNEL_S = 2.5e-6
BLOCK_BYTES = 512  # the allocator returns multiples of this
FREE = {
    "alias", "as_strided", "detach", "device", "dim", "empty", "empty_like", "empty_strided", "expand", "is_pinned",
    "lift_fresh", "new_empty", "numel", "permute", "reshape", "resize_", "select", "set_", "size", "slice", "split",
    "split_with_sizes", "squeeze", "stride", "sym_size", "t", "transpose", "unbind", "unflatten", "unsqueeze", "view",
    "_local_scalar_dense", "_unsafe_view",
}  # fmt: skip
"""Operators that start no kernel."""


class Card(NamedTuple):
    """A GPU as its data sheet describes it; operations per second without sparsity."""

    name: str
    memory_gib: float
    capability: tuple[int, int]
    flops_16_bit: float  # bf16 or fp16 products
    flops_tf32: float  # float32 convolutions; equal to flops_fp32 without TF32
    flops_fp32: float
    bytes_per_s: float


CARDS = {
    "t4": Card("T4", 15, (7, 5), 65e12, 8.1e12, 8.1e12, 0.32e12),
    "l4": Card("L4", 22, (8, 9), 121e12, 60e12, 30e12, 0.30e12),
    "rtx3090": Card("RTX 3090", 24, (8, 6), 71e12, 35.6e12, 35.6e12, 0.94e12),
    "rtx4090": Card("RTX 4090", 24, (8, 9), 165e12, 82.6e12, 82.6e12, 1.01e12),
    "a100": Card("A100 80 GB", 80, (8, 0), 312e12, 156e12, 19.5e12, 2.04e12),
    "h100": Card("H100 SXM", 80, (9, 0), 989e12, 494e12, 67e12, 3.35e12),
    "h200": Card("H200", 141, (9, 0), 989e12, 494e12, 67e12, 4.80e12),
}


class StepCost(NamedTuple):
    """Cost of one update."""

    fixed_bytes: int  # parameters, buffers and momenta
    peak_bytes: int
    flops: int  # two for a multiply-accumulate
    seconds: float  # estimated


class Meter(TorchDispatchMode):
    """Counts the bytes in use on the device, and the operations and traffic of each kernel."""

    def __init__(self, card: Card, device: str = "cuda"):
        super().__init__()
        self.card, self.device = card, device
        self.live: dict[int, int] = {}
        self.bytes = self.peak_bytes = self.flops = 0
        self.seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = self._on_device(out)
        for tensor in made:
            self._hold(tensor)
        if func.overloadpacket.__name__ not in FREE and (tensors := [*self._on_device((args, kwargs)), *made]):
            self._run(func.overloadpacket, args, kwargs or {}, out, tensors)
        return out

    def _on_device(self, tree: Any) -> list[Tensor]:
        return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.device.type == self.device]

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.live:
            self.live[key] = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
            self.bytes += self.live[key]
            self.peak_bytes = max(self.peak_bytes, self.bytes)
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.bytes -= self.live.pop(key, 0)

    def _run(self, operator: Any, args: Any, kwargs: Any, out: Any, tensors: list[Tensor]) -> None:
        flops = flop_registry[operator](*args, **kwargs, out_val=out) if operator in flop_registry else 0
        wide = any(tensor.dtype == torch.float32 for tensor in tensors)
        rate = self.card.flops_16_bit
        if wide:
            rate = self.card.flops_tf32 if "conv" in operator.__name__ else self.card.flops_fp32
        moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        self.flops += flops
        self.seconds += max(
            flops / (OF_PEAK_OPERATIONS * rate), moved / (OF_BANDWIDTH * self.card.bytes_per_s), SHORTEST_KERNEL_S
        )


def step_cost(objective: Objective, training: TrainingParams, momentum_shift: float, card: Card) -> StepCost:
    """Return the cost of an objective's second update; the first one also allocates what stays.

    Args:
        objective: on the CPU; its tensors are replaced by fake ones.
    """
    fabric = fake_fabric(training.precision, card.capability)
    meter = Meter(card)
    with ExitStack() as stack:
        stack.enter_context(fake_gpu())
        stack.enter_context(meter)
        objective.to("cuda", memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
        objective.train()
        scaled = bool(fabric.strategy.precision.state_dict())
        optimizer = make_optimizer(
            objective.parameters(), 0.01, training.momentum, training.weight_decay, momentum_shift, not scaled
        )
        guard = LossGuard(training.spike_factor).to("cuda")
        stepper = Stepper(fabric, objective, optimizer, guard, training.max_gradient_norm)
        fixed = meter.bytes
        images = training.batch_size // training.accumulate
        parts = [_batch(images, training) for _ in range(training.accumulate)]
        for iteration in range(2):
            meter.flops, meter.seconds = 0, 0.0
            stepper.step(iteration, parts)
    return StepCost(fixed, meter.peak_bytes, meter.flops, meter.seconds)


def fits(cost: StepCost, card: Card) -> bool:
    """Return whether an update fits, with a tenth for unusable memory of the allocator, and 1 GiB for CUDA."""
    return 1.1 * cost.peak_bytes + GIBIBYTE <= card.memory_gib * GIBIBYTE


def _batch(images: int, training: TrainingParams) -> TrainingBatch:
    size = (images, training.crop_height, training.crop_width)
    colors = torch.zeros(*size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    return TrainingBatch(colors, torch.zeros(size, dtype=torch.uint8), torch.zeros(images, 4), [""] * images)
