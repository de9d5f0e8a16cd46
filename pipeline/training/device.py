"""Where training runs, in how many processes and in which precision: the only door to Lightning Fabric."""

import ctypes
import os
import platform
import sys
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision, Precision
from lightning.fabric.strategies.ddp import DDPStrategy

from pipeline.errors import MachineError

M_TRIM_THRESHOLD, M_MMAP_MAX, LARGEST_INT = -1, -4, 2**31 - 1  # malloc.h


def launch(devices: int | Literal["auto"], precision: str, deterministic: bool) -> Fabric:
    """Join the processes of one training; where they do not run yet, start those of this machine.

    Under `torchrun` the processes are there already, over one machine or several, and their number is torchrun's.
    Raises MachineError for fewer GPUs than asked for, or a precision that this device does not train in. The arguments
    are those of section `training`.
    """
    kind = best_device().type
    present = torch.cuda.device_count() if kind == "cuda" else None
    nodes = 1
    if "LOCAL_WORLD_SIZE" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    elif devices == "auto":
        devices = present or 1
    if present is not None and devices > present:
        raise MachineError(f"training.devices is {devices}, this machine has {present} GPU(s); set it to auto")
    several = devices * nodes > 1
    # BatchNorms and queues are kept equal by what fills them; copying them in every forward would cost more.
    strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True) if several else "auto"
    plugin: Precision = Precision()
    if (resolved := resolved_precision(precision, kind)) == "fp16" and kind == "cpu":
        raise MachineError("training.precision is fp16, which needs a GPU; on a CPU take auto, bf16 or fp32")
    if resolved == "bf16":
        plugin = MixedPrecision("bf16-mixed", kind)
    elif resolved == "fp16":
        plugin = MixedPrecision("16-mixed", kind, torch.amp.GradScaler(kind))
    if kind == "cuda":
        torch.backends.cudnn.benchmark = not deterministic  # tries each convolution's kernels at its first call
        torch.set_float32_matmul_precision("high")  # TF32, as convolutions have by default; for training only
    fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy=strategy, plugins=plugin)
    fabric.launch()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS has no such form
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if kind == "cpu" and sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        # Keep what a step frees: its large tensors otherwise come from the system anew each time, page by page.
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT)
    return fabric


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait_for(device: torch.device) -> None:
    """Until all that was asked of it is done; to time it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def resolved_precision(precision: str, kind: str) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 where the device multiplies in it, fp16 on older GPUs."""
    if precision != "auto":
        return precision
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def device_facts(precision: str, kind: str) -> dict[str, str]:
    """Return what of the device decides a training's result: a state of a CPU is not resumed on a GPU."""
    return {"device": kind, "precision": resolved_precision(precision, kind)}


def describe_precision(precision: str, fabric: Fabric) -> str:
    """Say what `precision` came to on this device, for the record."""
    kind = fabric.device.type
    resolved = resolved_precision(precision, kind)
    several = f", {fabric.world_size} processes" if fabric.world_size > 1 else ""
    return f"{resolved}{'' if resolved == 'fp32' else ' autocast'} on {kind}{several}"
