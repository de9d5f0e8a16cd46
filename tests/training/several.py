"""Trainings for `torchrun` to start in several processes: -m tests.training.several SAMPLES OUT METHOD...

Noise, dropout and permutations are taken out, because each process has its own; the rest must be as in one process.
All is computed in float64: in float32 a few iterations make another training of two orders of summation.
"""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.data.crops import crop_dataset
from pipeline.data.dataset import network_input
from pipeline.data.samples import read_samples
from pipeline.distillation.objective import DistillationObjective
from pipeline.training.fabric import Fabric, launch
from pipeline.training.loop import Curve, fit
from pipeline.training.objective import SupervisedObjective, Task
from tests.distillation.outputs import build_method
from tests.toy import TOY_CLASSES, toy_segmenter, toy_training

TRAINING = toy_training(log_every=1, cross_entropy_mean="labelled_pixels")


def main() -> None:
    samples, out, methods = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    fabric = launch(1, "fp32", False)  # under torchrun: as many as torchrun started
    patch = pytest.MonkeyPatch()
    without_chance(patch)
    patch.setattr("pipeline.training.objective.network_input", lambda image: network_input(image).double())
    for method in methods:
        objective = _objective(method).double()
        curve = _fit(objective, method, samples, fabric, out / "scratch" / method)
        if fabric.is_global_zero:
            state = {name: tensor for name, tensor in objective.state_dict().items() if not name.startswith("teacher.")}
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, out / f"{method}.safetensors")
            (out / f"{method}.json").write_text(json.dumps(curve))


def without_chance(patch: pytest.MonkeyPatch) -> None:
    """Take out what is random in the methods."""

    def zeros(like: Tensor, **_: object) -> Tensor:
        return torch.zeros_like(like)

    patch.setattr(torch, "randn_like", zeros)
    patch.setattr(torch, "rand_like", zeros)
    patch.setattr(torch, "rand", lambda *size, device=None: _falling(torch.empty(*size, device=device)))
    patch.setattr(torch, "randint", lambda _high, size, device=None: torch.full(size, 300, device=device))
    patch.setattr(torch, "randperm", lambda length, device=None: torch.arange(length, device=device))


def _falling(values: Tensor) -> Tensor:
    """Different numbers in 0..1, in an order that every device sees."""
    return torch.linspace(1, 0, values.numel(), device=values.device).reshape(values.shape)


def _objective(method: str) -> SupervisedObjective:
    torch.manual_seed(0)
    teacher, student = toy_segmenter()[0], toy_segmenter()[0]
    for module in student.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    if method == "none":
        return SupervisedObjective(student, Task.of(TRAINING, None))
    name = method.removesuffix("_dot")
    chosen = {name: build_method(name, {}, student, teacher, 4)}
    return DistillationObjective(student, teacher, chosen, {name: 1.0}, Task.of(TRAINING, None))


def _fit(objective: SupervisedObjective, method: str, samples: Path, fabric: Fabric, scratch: Path) -> Curve:
    crops = crop_dataset(read_samples(samples, "train"), TOY_CLASSES, TRAINING, 0, scratch)
    return fit(
        objective, crops, TRAINING, fabric, name=method, iterations=4, learning_rate=0.02,
        momentum_shift=0.05 if method.endswith("_dot") else 0.0, scratch=scratch,
    )  # fmt: skip


if __name__ == "__main__":
    main()
