"""torch.compile for the networks of an objective, where it pays; else the reason why not."""

import time
from collections.abc import Callable
from statistics import median

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils._triton import has_triton

from models.classifier import Classifier
from models.segmenter import Segmenter
from pipeline.params.training import TrainingParams
from pipeline.training.device import wait_for
from pipeline.training.processes import mean_over_processes
from pipeline.training.step import BatchNormSnapshot

BACKEND = "inductor"
TIMED = 5  # trials of each form


def compile_networks(objective: nn.Module, training: TrainingParams, fabric: Fabric, images: int) -> str:
    """Compile the objective's segmenters and classifiers in place, if the parameters and the machine say so.

    A trial on empty images comes first: what cannot be compiled, or with `compile: auto` what is no faster then, stays
    as it was. The trial, on so many images, leaves no trace in weights and running statistics. Returns what was done.
    """
    if reason := _against(training, fabric.device.type):
        return f"not compiled: {reason}"
    networks = [child for child in objective.children() if isinstance(child, Segmenter | Classifier)]
    size = (images, 3, training.crop_height, training.crop_width)
    image = torch.zeros(size, device=fabric.device).contiguous(memory_format=torch.channels_last)
    norms = BatchNormSnapshot(objective)

    def trial() -> None:
        for network in networks:
            with fabric.autocast(), torch.set_grad_enabled(network.training):
                outputs = [maps.float().sum() for maps in network(image) if maps is not None]
            if network.training:
                torch.stack(outputs).sum().backward()

    try:
        eager = _seconds(trial, fabric.device)
        for network in networks:
            network.compile(dynamic=False, backend=BACKEND)
        compiled = _seconds(trial, fabric.device)
    except Exception as error:  # a compiler has no end of ways to fail, and none of them ends the training
        _undo(networks)
        return f"not compiled: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
    finally:
        objective.zero_grad(set_to_none=True)
        norms.restore_unless(torch.zeros((), dtype=torch.bool, device=fabric.device))
    ratio = mean_over_processes(eager / compiled).item()  # so that all processes decide alike
    times = f"{ratio:.2f} times as fast in a trial"
    if training.compile == "auto" and ratio <= 1:
        _undo(networks)
        return f"not compiled: it would be {times}"
    return f"compiled: {times}"


def _against(training: TrainingParams, kind: str) -> str:
    if training.compile == "never":
        return "training.compile is never"
    if training.compile == "auto" and kind == "cpu":
        return "on a CPU it takes minutes and was slower where it was measured; training.compile: always tries it"
    if training.compile == "auto" and training.deterministic:
        return "a trial decides by its time, which is not deterministic; set training.compile to always or never"
    if training.compile == "auto" and not has_triton():
        return "Triton is not installed, or does not know this GPU"
    return ""


def _seconds(trial: Callable[[], None], device: torch.device) -> Tensor:
    """The median of some trials, after two that may compile."""
    seconds = []
    for _ in range(2 + TIMED):
        start = time.perf_counter()
        trial()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return torch.tensor(median(seconds[2:]), device=device)


def _undo(networks: list[Segmenter | Classifier]) -> None:
    for network in networks:
        network._compiled_call_impl = None  # how nn.Module.compile remembers; there is no public way back
