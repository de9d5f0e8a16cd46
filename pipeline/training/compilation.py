"""torch.compile for an objective, where it pays; else the reason why not."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils._triton import has_triton

from pipeline.data.crops import BatchShard, TrainingBatch
from pipeline.data.dataset import stacked
from pipeline.params.training import TrainingParams
from pipeline.training.device import wait_for
from pipeline.training.dot import DOT
from pipeline.training.processes import mean_over_processes
from pipeline.training.step import Stepper

FORMS = {"compiled": {}, "compiled into CUDA graphs": {"mode": "reduce-overhead"}}
BACKEND = "inductor"
TIMED = 5  # trials of each form


def compile_objective(stepper: Stepper, training: TrainingParams, shard: BatchShard) -> str:
    """Compile networks and losses in place, if the parameters and the machine say so; return what was done.

    A trial of each form on an empty batch comes first: what cannot be compiled, or with `compile: auto` what is no
    faster then, stays as it was. The trial leaves no trace in weights and running statistics.
    """
    objective, device = stepper.objective, stepper.fabric.device
    if reason := _against(training, device.type, stepper.optimizer):
        return f"not compiled: {reason}"
    size = (training.crop_height, training.crop_width)
    crop = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.ones(4, np.float32), ""
    # Stacked as the loader does: what is compiled holds for these strides only.
    batch = [TrainingBatch(*stacked([crop] * shard.images))] * shard.parts
    before = [tensor.clone() for tensor in objective.buffers()]
    calls, failed = {}, ""
    # A graph's tensors are overwritten by its next call, which sums over parts and processes do not allow.
    forms = list(FORMS) if device.type == "cuda" and shard.parts * shard.processes == 1 else ["compiled"]
    try:
        seconds = {"eager": _seconds(lambda: stepper.gradients(batch), device)}
        for form in forms:
            try:
                objective.compile(dynamic=False, backend=BACKEND, **FORMS[form])
                seconds[form] = _seconds(lambda: stepper.gradients(batch), device)
                calls[form] = objective._compiled_call_impl  # how nn.Module.compile remembers; there is no public way
            except Exception as error:  # a compiler has no end of ways to fail, and none of them ends the training
                inner = getattr(error, "inner_exception", error)  # the compiler's own, where PyTorch wraps it
                said = str(inner).strip().partition("\n")[0]  # may be empty
                failed = failed or f"{type(inner).__name__}: {said}"
    finally:
        objective._compiled_call_impl = None
        stepper.optimizer.zero_grad(set_to_none=True)
        for tensor, kept in zip(objective.buffers(), before, strict=True):
            tensor.copy_(kept)
    if not calls:
        return f"not compiled: {failed}"
    best = min(calls, key=seconds.__getitem__)
    ratio = mean_over_processes(seconds["eager"] / seconds[best]).item()  # so that all processes decide alike
    pays = training.compile == "always" or ratio > 1
    if best != forms[-1] or not pays:
        torch.compiler.reset()  # what a form keeps that is not taken: its graphs' memory
    times = f"{ratio:.2f} times as fast in a trial"
    if not pays:
        return f"not compiled: it would be {times}"
    objective._compiled_call_impl = calls[best]
    return f"{best}: {times}"


def _against(training: TrainingParams, kind: str, optimizer: torch.optim.Optimizer) -> str:
    if training.compile == "never":
        return "training.compile is never"
    if isinstance(optimizer, DOT):
        return "momentum_shift (DOT) differentiates one graph twice"
    if training.compile == "auto" and kind == "cpu":
        return "on a CPU it takes minutes and was slower where it was measured; training.compile: always tries it"
    if training.compile == "auto" and training.deterministic:
        return "a trial decides by its time, which is not deterministic; set training.compile to always or never"
    if training.compile == "auto" and not has_triton():
        return "Triton is not installed, or does not know this GPU"
    return ""


def _seconds(trial: Callable[[], object], device: torch.device) -> Tensor:
    """The median of some trials, after two that may compile and one that may record."""
    seconds = []
    for _ in range(3 + TIMED):
        start = time.perf_counter()
        trial()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return torch.tensor(median(seconds[3:]), device=device)
