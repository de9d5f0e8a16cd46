"""The only training loop."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric

from pipeline.data.dataset import Share, TrainingDraws, lost_processes_told, training_batches
from pipeline.errors import SegdistillError
from pipeline.params.training import TrainingParams
from pipeline.training.compilation import compile_networks
from pipeline.training.device import MachineError
from pipeline.training.guard import LossGuard, Statistics
from pipeline.training.objective import Loss, Objective
from pipeline.training.optimizer import Stepper, make_optimizer, polynomial_rate
from pipeline.training.processes import with_joint_statistics
from pipeline.training.progress import TrainingProgress
from pipeline.training.resume import Progress, load_progress, save_progress

Curve = list[dict[str, float]]
STATE = "state.safetensors"


class TrainingDiverged(SegdistillError):
    """The loss is no longer a number, or leapt."""


def fit(
    objective: Objective,
    draws: TrainingDraws,
    training: TrainingParams,
    fabric: Fabric,
    *,
    name: str,
    iterations: int,
    learning_rate: float,
    momentum_shift: float,
    scratch: Path,
) -> Curve:
    """Minimize the objective; resumes from `scratch` where a state lies there.

    There is no validation inside: the schedule is fixed, the last iteration is the result, `evaluate` judges it.
    All that is random in an iteration depends on the seed and on its number only, so a resumed training draws what the
    uninterrupted one would have drawn. Several processes share each batch.

    Args:
        momentum_shift: DOT's; 0 for plain SGD.

    Returns:
        One row every `log_every` iterations: iteration, learning_rate, total, each loss term, what the objective
        watches, skipped (updates so far that were not applied), iterations_per_s (since the row before).

    Raises:
        TrainingDiverged: a loss is NaN, infinite or a leap, and the parameters say to stop at that.
        LoaderError: a loader process died, has no memory, or /dev/shm is too small for it.
        MachineError: the batch cannot be shared evenly, or DOT is asked for in fp16.
    """
    share = _share(training, fabric)
    objective.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    if fabric.world_size > 1:
        with_joint_statistics(objective, fabric.device.type)
    objective.train()
    fabric.print(f"{name}: {compile_networks(objective, training, fabric, share.images)}")
    scaled = bool(fabric.strategy.precision.state_dict())
    if scaled and momentum_shift:
        raise MachineError("momentum_shift (DOT) does not go with precision fp16; take bf16 or fp32")
    optimizer = make_optimizer(
        objective.parameters(), learning_rate, training.momentum, training.weight_decay, momentum_shift, not scaled
    )
    guard = LossGuard(training.spike_factor).to(fabric.device)
    start, curve, precision = load_progress(scratch / STATE, objective, guard, optimizer)
    fabric.strategy.precision.load_state_dict(precision)
    stepper = Stepper(fabric, objective, optimizer, guard, training.max_gradient_norm)
    statistics = Statistics(objective) if training.on_bad_loss == "skip" else None
    skipped = int(guard.refused)
    parts = training_batches(draws, share, start, iterations, training.workers)
    with lost_processes_told(), TrainingProgress(name, start, iterations, shown=fabric.is_global_zero) as progress:
        for iteration in range(start, iterations):
            rate = polynomial_rate(
                iteration, iterations, learning_rate, training.min_learning_rate, training.learning_rate_power
            )
            optimizer.param_groups[0]["lr"] = rate
            batch = list(islice(parts, share.parts))  # before the seed: a loader that starts draws a number of its own
            torch.manual_seed(_iteration_seed(draws.seed, iteration, fabric.global_rank))
            if statistics:
                statistics.keep()
            losses, good = stepper.step(iteration, batch)
            if statistics:
                statistics.restore_unless(good)

            done = iteration + 1
            logs = done % training.log_every == 0 or done == iterations
            saves = done % training.checkpoint_every == 0 and done < iterations
            if logs or saves:  # nothing is read before, so that the device need not be waited for
                skipped = _skipped(guard, training, draws, share, name)
            if logs:
                terms, watched = _read(losses, fabric)
                row = {"iteration": done, "learning_rate": rate, **terms, **watched, "skipped": skipped}
                curve.append({**row, "iterations_per_s": progress.lap_rate(done)})
                progress.show(done, terms)
            if saves and fabric.is_global_zero:
                state = Progress(done, curve, fabric.strategy.precision.state_dict())
                save_progress(scratch / STATE, objective, guard, optimizer, state)
    if skipped:
        fabric.print(f"{name}: {skipped} of {iterations} updates were skipped, the first at {int(guard.first_refused)}")
    return curve


def _share(training: TrainingParams, fabric: Fabric) -> Share:
    shares = fabric.world_size * training.accumulate
    if training.batch_size % shares or (training.batch_size == training.accumulate and fabric.world_size == 1):
        raise MachineError(
            f"training.batch_size {training.batch_size} cannot be shared by {fabric.world_size} process(es) in "
            f"{training.accumulate} part(s) each: it must be a multiple of both, with two images or more for BatchNorm"
        )
    return Share(training.batch_size, training.accumulate, fabric.global_rank, fabric.world_size)


def _iteration_seed(seed: int, iteration: int, process: int) -> int:
    """Each process has noise and dropout of its own; the first has what a single one would have."""
    of_process = [process] if process else []
    return int(np.random.SeedSequence([seed, 2, iteration, *of_process]).generate_state(1)[0])


def _skipped(guard: LossGuard, training: TrainingParams, draws: TrainingDraws, share: Share, name: str) -> int:
    """How many updates were refused so far; where the parameters say so, the first one is the end."""
    refused = int(guard.refused)
    if refused and training.on_bad_loss == "stop":
        iteration = int(guard.first_refused)
        first = iteration * share.batch_size
        ids = [draws.sample(draw).id for draw in range(first, first + share.batch_size)]
        raise TrainingDiverged(
            f"{name}: the loss or its gradient is not finite, or the loss leapt, at iteration {iteration} (loss "
            f"{guard.first_refused_loss.item():.4g}, usual until then {guard.mean_loss.item():.4g}); samples of this "
            f"batch: {', '.join(ids)}. Lower the learning_rate or the method's weight in params.yaml, look at these "
            f"samples, or set training.on_bad_loss to skip; the last good state is kept"
        )
    return refused


def _read(losses: Sequence[Loss], fabric: Fabric) -> tuple[dict[str, float], dict[str, float]]:
    """Means over the parts and processes, brought to the host: the loss with its terms, and what is watched."""
    logged = [({"total": loss.total, **loss.terms}, loss.watched) for loss in losses]
    terms, watched = (
        {key: torch.stack([record[key] for record in records]).mean() for key in records[0]}
        for records in zip(*logged, strict=True)
    )
    return (
        {key: fabric.all_reduce(value, reduce_op="mean").item() for key, value in terms.items()},  # type: ignore[reportAttributeAccessIssue]
        {key: fabric.all_reduce(value, reduce_op="mean").item() for key, value in watched.items()},  # type: ignore[reportAttributeAccessIssue]
    )
