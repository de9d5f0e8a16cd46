"""Checkpoints of a training in progress, outside DVC's outputs.

DVC removes a stage's outputs before it runs the stage, so progress is kept in a separate scratch folder. A hash of all
that determines the result names the folder. So a state of other parameters, data or code is never resumed.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic_core import to_jsonable_python
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256, write_json
from pipeline.data.samples import read_samples
from pipeline.errors import TrainingError
from pipeline.training.step import LossGuard

BUFFERS = ("momentum_buffer", "distill_buffer")  # state that SGD and DOT keep for a parameter
IDENTITY = "identity.json"


class ResumeState(NamedTuple):
    iteration: int  # the next one to run
    curve: list[dict[str, float]]
    scale: dict[str, Any]  # state of the loss scale in fp16; empty otherwise


def training_identity(
    code: str, classes: Path, samples: Path, files: Mapping[str, Path], **settings: object
) -> dict[str, Any]:
    """Return all that determines a training's result as plain values, independent of where its files lie.

    Files count by their contents, samples by their ids, splits, digests and order.
    """
    table, listed = ClassTable.load(classes), read_samples(samples)
    data = {
        "classes": short_hash([table.names, table.lookup().tolist()]),
        "samples": short_hash([[s.id, s.split, s.image_sha256, s.mask_sha256] for s in listed]),
    }
    contents = {name: sha256(path) for name, path in files.items()}
    return {"code": code, **data, **contents, **to_jsonable_python(settings)}


def short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def scratch_folder(parent: Path, name: str, identity: Mapping[str, Any], first: bool) -> Iterator[Path]:
    """Yield the folder of one training, locked while it runs; `pipeline.training.finished` removes it later.

    States of the same name with another identity are stale. The training's `first` process removes them and prints what
    changed; the other processes only read. Raises TrainingError if another training holds the lock: a training survives
    if only dvc is killed.
    """
    folder = parent / name / short_hash(identity)
    if not first:
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = parent / name / "lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            complaint = f"{name} is being trained by another process (lock {path}); wait for it or end it"
            raise TrainingError(complaint) from error
        for other in (parent / name).iterdir():
            if other.is_dir() and other != folder:
                print(f"{name}: an earlier training is not resumed: {_changes(other, identity)}", flush=True)
                shutil.rmtree(other)
        write_json(folder / IDENTITY, dict(identity))
        yield folder


def _changes(folder: Path, identity: Mapping[str, Any]) -> str:
    try:
        before = json.loads((folder / IDENTITY).read_bytes())
        changed = [name for name in identity.keys() | before.keys() if identity.get(name) != before.get(name)]
    except (OSError, ValueError, AttributeError):
        return "its parameters are unknown"
    short = {name: f"{name} ({before.get(name)} -> {identity.get(name)})" for name in ("device", "precision")}
    return f"changed since: {', '.join(short.get(name) or name for name in sorted(changed))}"


def save_state(
    path: Path, objective: nn.Module, guard: LossGuard, optimizer: torch.optim.Optimizer, state: ResumeState
) -> None:
    """Write weights, momentum and the curve so far; a crash during the write leaves the previous state intact."""
    tensors = _trained(objective, guard)
    for name, parameter, buffer in _buffers(optimizer):
        if optimizer.state[parameter].get(buffer) is not None:
            tensors[name] = optimizer.state[parameter][buffer]
    header = {"state": json.dumps(state._asdict())}
    with replacing(path) as temporary:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, temporary, header)


def has_ended(path: Path, iterations: int) -> bool:
    """Return whether a state is the one after the last iteration, without reading its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["state"])["iteration"] == iterations
    except (FileNotFoundError, SafetensorError):
        return False


def load_state(path: Path, objective: nn.Module, guard: LossGuard, optimizer: torch.optim.Optimizer) -> ResumeState:
    """Fill objective, guard and optimizer from a saved state; without an intact one, start from the beginning."""
    if not path.is_file():
        return ResumeState(0, [], {})
    try:
        with safe_open(path, framework="pt") as file:
            state = ResumeState(**json.loads(file.metadata()["state"]))
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        print(f"{path} is damaged ({error}): training starts from the beginning", flush=True)
        return ResumeState(0, [], {})
    with torch.no_grad():
        for name, tensor in _trained(objective, guard).items():
            tensor.copy_(saved[name])
        for name, parameter, buffer in _buffers(optimizer):
            if name in saved:
                optimizer.state[parameter][buffer] = torch.empty_like(parameter).copy_(saved[name])
    return state


def _trained(objective: nn.Module, guard: LossGuard) -> dict[str, Tensor]:
    """Return the state of the objective and of the guard, without a frozen teacher inside the objective."""
    state = {f"module.{n}": tensor for n, tensor in objective.state_dict().items() if not n.startswith("teacher.")}
    return state | {f"guard.{name}": tensor for name, tensor in guard.state_dict().items()}


def _buffers(optimizer: torch.optim.Optimizer) -> list[tuple[str, Tensor, str]]:
    """Return each possible buffer of the optimizer: its name in the file, its parameter, and its key."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [(f"{buffer}.{i}", parameter, buffer) for i, parameter in enumerate(parameters) for buffer in BUFFERS]
