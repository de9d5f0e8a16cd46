"""Compile an objective with torch.compile if that makes training faster; otherwise report why not."""

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
    """Compile networks and losses in place, if the parameters and the machine allow it; return what was done.

    Times each form on an empty batch first. A form that fails to compile is not used; with `compile: auto`, neither is
    one that is not faster. The trials leave weights and running statistics unchanged.
    """
    objective, device = stepper.objective, stepper.fabric.device
    if reason := _against(training, device.type, stepper.optimizer):
        return f"not compiled: {reason}"
    size = (training.crop_height, training.crop_width)
    crop = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.ones(4, np.float32), ""
    # Stacked as the loader does, because compiled code holds for these strides only.
    batch = [TrainingBatch(*stacked([crop] * shard.images))] * shard.parts
    before = [tensor.clone() for tensor in objective.buffers()]
    calls, failed = {}, ""
    # The next call of a CUDA graph overwrites its tensors, so it cannot sum over parts or processes.
    forms = list(FORMS) if device.type == "cuda" and shard.parts * shard.processes == 1 else ["compiled"]
    try:
        seconds = {"eager": _seconds(lambda: stepper.gradients(batch), device)}
        for form in forms:
            try:
                objective.compile(dynamic=False, backend=BACKEND, **FORMS[form])
                seconds[form] = _seconds(lambda: stepper.gradients(batch), device)
                calls[form] = objective._compiled_call_impl  # nn.Module.compile stores it here; there is no public way
            except Exception as error:  # a compiler fails in many ways, and none of them may end the training
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
    ratio = mean_over_processes(seconds["eager"] / seconds[best]).item()  # so that all processes decide the same
    pays = training.compile == "always" or ratio > 1
    if best != forms[-1] or not pays:
        torch.compiler.reset()  # free the memory of the graphs that are not used
    times = f"{ratio:.2f} times as fast in a trial"
    if not pays:
        return f"not compiled: it was only {times}"
    objective._compiled_call_impl = calls[best]
    return f"{best}: {times}"


def _against(training: TrainingParams, kind: str, optimizer: torch.optim.Optimizer) -> str:
    if training.compile == "never":
        return "training.compile is never"
    if isinstance(optimizer, DOT):
        return "momentum_shift (DOT) differentiates one graph twice"
    if training.compile == "auto" and kind == "cpu":
        return "on a CPU, it takes minutes and was slower when measured; to try it, set training.compile to always"
    if training.compile == "auto" and training.deterministic:
        return "auto decides by measured times, which is not deterministic; set training.compile to always or never"
    if training.compile == "auto" and not has_triton():
        return "Triton is not installed, or does not support this GPU"
    return ""


def _seconds(trial: Callable[[], object], device: torch.device) -> Tensor:
    """Return the median time of TIMED trials, after two that may compile and one that may record a CUDA graph."""
    seconds = []
    for _ in range(3 + TIMED):
        start = time.perf_counter()
        trial()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return torch.tensor(median(seconds[3:]), device=device)
