"""Start training in the chosen number of processes and precision; no other module imports Lightning Fabric."""

import ctypes
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal

import torch

from models.without_compiler import without_compiler
from pipeline.errors import MachineError
from pipeline.threads import available_threads
from pipeline.training.device import best_device, resolved_precision

# Fabric checks the version of torchmetrics if that is installed, and importing it takes 2 s.
sys.modules.setdefault("torchmetrics", None)  # type: ignore[reportArgumentType]: None makes its import fail
with without_compiler():
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger
    from lightning_fabric.plugins import MixedPrecision, Precision
    from lightning_fabric.strategies.ddp import DDPStrategy

if sys.modules["torchmetrics"] is None:
    del sys.modules["torchmetrics"]

PROJECT = "segdistill"
LOGGERS = {
    "tensorboard": ("lightning_fabric.loggers:TensorBoardLogger", "tensorboard"),
    "mlflow": ("pytorch_lightning.loggers:MLFlowLogger", "mlflow-skinny pytorch-lightning"),
    "wandb": ("pytorch_lightning.loggers:WandbLogger", "wandb pytorch-lightning"),
}
"""The class of each logger, and the packages that it needs."""
TRACKING = "MLFLOW_TRACKING_URI"
M_TRIM_THRESHOLD, M_MMAP_MAX, LARGEST_INT = -1, -4, 2**31 - 1  # malloc.h


def launch(
    devices: int | Literal["auto"], precision: str, deterministic: bool, loggers: Sequence[Logger] = ()
) -> Fabric:
    """Join the processes of one training; start those of this machine if they do not run yet.

    Under `torchrun`, the processes already run, on one machine or several, and torchrun sets their number. The
    arguments are those of section `training`, except `loggers`, which `make_loggers` returns. Raises MachineError if
    there are fewer GPUs than asked for, or if this device does not train in the precision.
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
        raise MachineError(f"training.devices is {devices}, but this machine has {present} GPU(s); set it to auto")
    several = devices * nodes > 1
    # BatchNorms and queues get equal values in all processes, so DDP need not copy them in every forward pass.
    strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True) if several else "auto"
    plugin: Precision = Precision()
    if (resolved := resolved_precision(precision, kind)) == "fp16" and kind == "cpu":
        raise MachineError("training.precision is fp16, which needs a GPU; on a CPU set auto, bf16 or fp32")
    if resolved == "bf16":
        plugin = MixedPrecision("bf16-mixed", kind)
    elif resolved == "fp16":
        plugin = MixedPrecision("16-mixed", kind, torch.amp.GradScaler(kind))
    if kind == "cuda":
        torch.backends.cudnn.benchmark = not deterministic  # tries each convolution's kernels at its first call
        torch.set_float32_matmul_precision("high")  # TF32, as convolutions have by default; for training only
    fabric = Fabric(
        accelerator=kind, devices=devices, num_nodes=nodes, strategy=strategy, plugins=plugin, loggers=[*loggers]
    )
    fabric.launch()
    if kind == "cpu":
        torch.set_num_threads(max(1, available_threads() // fabric.world_size))
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS is not deterministic
    if deterministic != torch.are_deterministic_algorithms_enabled():  # setting it imports the compiler
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if kind == "cpu" and sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        # Keep freed memory in the process: otherwise the system provides each step's large tensors anew, page by page.
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT)
    return fabric


def make_loggers(names: Sequence[str], run: str, scratch: Path) -> list[Logger]:
    """Open the loggers that get a run's curves besides training.csv.

    TensorBoard writes into scratch/tensorboard. MLflow and Weights & Biases read their servers and keys from their own
    environment variables. Raises MachineError if a package is not installed, or if MLflow has no server.
    """
    settings = {
        "tensorboard": {"root_dir": scratch / "tensorboard", "name": run, "version": ""},
        "mlflow": {"experiment_name": PROJECT, "run_name": run, "tracking_uri": os.environ.get(TRACKING)},
        "wandb": {"project": PROJECT, "name": run, "save_dir": str(scratch)},
    }
    loggers = []
    for name in names:
        kind, packages = LOGGERS[name]
        if name == "mlflow" and TRACKING not in os.environ:
            raise MachineError(
                f"training.loggers: mlflow has no server; set {TRACKING} to the address of a server or a database"
            )
        try:
            loggers.append(resolve_name(kind)(**settings[name]))
        except ModuleNotFoundError as error:
            told = f"install {packages} into this environment, or remove it from the list"
            raise MachineError(f"training.loggers: {name} is not installed ({error}); {told}") from error
    return loggers


def describe_precision(precision: str, fabric: Fabric) -> str:
    """Return the resolved precision, the device and the number of processes in words, for the record."""
    kind = fabric.device.type
    resolved = resolved_precision(precision, kind)
    several = f", {fabric.world_size} processes" if fabric.world_size > 1 else ""
    return f"{resolved}{'' if resolved == 'fp32' else ' autocast'} on {kind}{several}"
