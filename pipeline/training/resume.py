"""Checkpoints of a training in progress: outside DVC's outputs, tied to what is being trained.

DVC removes a stage's outputs before it runs the stage, so progress is kept in a scratch folder of its own. The folder
is named by a fingerprint of everything that determines the result; a changed parameter can never resume an old state.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.data.files import replacing
from pipeline.errors import SegdistillError
from pipeline.training.guard import LossGuard

BUFFERS = ("momentum_buffer", "distill_buffer")  # what SGD and DOT remember of a parameter
CODE = ("models", "pipeline/data", "pipeline/training", "pipeline/distillation", "pipeline/pretraining")


class TrainingBusy(SegdistillError):
    """Another process is training the same thing."""


class Progress(NamedTuple):
    iteration: int  # the next one to run
    curve: list[dict[str, float]]
    precision: dict[str, Any]  # state of the loss's scale in fp16; empty otherwise


def fingerprint(**determinants: object) -> str:
    """Short hash of parameters, data hashes and of the code that trains."""
    digest = hashlib.sha256(json.dumps(determinants, sort_keys=True, default=str).encode())
    root = Path(__file__).parents[2]
    for folder in CODE:
        for file in sorted((root / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def scratch_folder(parent: Path, name: str, identity: str, first: bool) -> Iterator[Path]:
    """The folder of one training, locked while it runs and removed when it is finished.

    States of the same name with another identity are stale and are removed first.

    Args:
        first: whether this is the training's first process, which does that; the others read only.

    Raises:
        TrainingBusy: another process holds the lock (DVC's own trainer survives when only dvc is killed).
    """
    folder = parent / name / identity
    if not first:
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (parent / name / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingBusy(
                f"{name} is being trained by another process (lock {parent / name / 'lock'}); wait for it or end it"
            ) from error
        for other in (parent / name).iterdir():
            if other.is_dir() and other != folder:
                shutil.rmtree(other)
        yield folder
        shutil.rmtree(folder)


def save_progress(
    path: Path, objective: nn.Module, guard: LossGuard, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write weights, momentum and the curve so far; a crash meanwhile leaves the previous state whole."""
    tensors = {f"module.{name}": tensor for name, tensor in _trained(objective).items()}
    tensors |= {f"guard.{name}": tensor for name, tensor in guard.state_dict().items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        for buffer in BUFFERS:
            if optimizer.state[parameter].get(buffer) is not None:
                tensors[f"{buffer}.{index}"] = optimizer.state[parameter][buffer]
    header = {"progress": json.dumps(progress._asdict())}
    with replacing(path) as temporary:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, temporary, header)


def load_progress(path: Path, objective: nn.Module, guard: LossGuard, optimizer: torch.optim.Optimizer) -> Progress:
    """Fill all three from a saved state; without one, or with a damaged one, training starts anew."""
    if not path.is_file():
        return Progress(0, [], {})
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        print(f"{path} is damaged ({error}): training starts from the beginning", flush=True)
        return Progress(0, [], {})
    with torch.no_grad():
        for name, tensor in _trained(objective).items():
            tensor.copy_(saved[f"module.{name}"])
        for name, tensor in guard.state_dict().items():
            tensor.copy_(saved[f"guard.{name}"])
        for index, parameter in enumerate(_parameters(optimizer)):
            for buffer in BUFFERS:
                if f"{buffer}.{index}" in saved:
                    kept = torch.empty_like(parameter).copy_(saved[f"{buffer}.{index}"])
                    optimizer.state[parameter][buffer] = kept
    return progress


def _trained(modules: nn.Module) -> dict[str, Tensor]:
    """State of everything that is trained: a frozen teacher inside an objective is not part of it."""
    return {name: tensor for name, tensor in modules.state_dict().items() if not name.startswith("teacher.")}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
