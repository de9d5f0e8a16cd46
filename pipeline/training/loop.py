"""The only training loop."""

import csv
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from pipeline.data.crops import BatchShard, CropDataset, crop_batches, report_lost_workers
from pipeline.data.files import replacing
from pipeline.errors import Diverged, MachineError
from pipeline.params.training import TrainingParams
from pipeline.training.compilation import compile_objective
from pipeline.training.fabric import Fabric
from pipeline.training.objective import Objective
from pipeline.training.optimizer import make_optimizer, polynomial_rate
from pipeline.training.processes import mean_over_processes, use_sync_batchnorm
from pipeline.training.progress import TrainingProgress
from pipeline.training.resume import ResumeState, has_ended, load_state, save_state
from pipeline.training.step import BatchNormSnapshot, LossGuard, Stepper
from pipeline.training.validation import Validation

Curve = list[dict[str, float]]
STATE = "state.safetensors"


def fit(
    objective: Objective, crops: CropDataset, training: TrainingParams, fabric: Fabric, *,
    name: str, iterations: int, learning_rate: float, momentum_shift: float = 0.0, scratch: Path,
    validation: Validation | None = None, on_save: Callable[[], None] = lambda: None,
) -> Curve:  # fmt: skip
    """Minimize the objective; resume from a state in `scratch` if there is one, and leave the last state there.

    The schedule is fixed, and the objective keeps the weights of the last iteration. All random numbers of an iteration
    depend only on the seed and the iteration's number. So a resumed training draws the same numbers as an uninterrupted
    one. Returns one row every `log_every` iterations: iteration, learning_rate, total, each loss term, the objective's
    metrics, skipped (updates so far that were not applied), iterations_per_s.

    Args:
        validation: scores the network in the first process; does not change the training.
        on_save: called in the first process whenever the state is saved; must not change the training.

    Raises:
        Diverged: a loss is NaN, infinite or a spike, and `training.on_bad_loss` is `stop`.
        TrainingError: a loader process died.
        MachineError: the batch cannot be divided evenly, DOT is used with fp16, or /dev/shm is too small.
    """
    shard = _shard(training, fabric)
    objective.divide(shard.parts * shard.processes)
    objective.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    if fabric.world_size > 1:
        use_sync_batchnorm(objective, fabric.device.type)
    objective.train()
    precision = fabric.strategy.precision
    scaled = bool(precision.state_dict())
    if scaled and momentum_shift:
        raise MachineError("momentum_shift (DOT) does not work in fp16; set training.precision to bf16 or fp32")
    optimizer = make_optimizer(
        objective.parameters(), learning_rate, training.momentum, training.weight_decay, momentum_shift, not scaled
    )
    guard = LossGuard(training.spike_factor).to(fabric.device)
    start, curve, scale = load_state(scratch / STATE, objective, guard, optimizer)
    if scale:
        precision.load_state_dict(scale)
    if validation:
        validation.resume(start)
    stepper = Stepper(fabric, objective, optimizer, guard, training.max_gradient_norm)
    if has_ended(scratch / STATE, iterations):
        fabric.print(
            f"{name}: all {iterations} iterations are done, but dvc.lock does not have their result yet. "
            f"It is taken from {scratch}; remove that folder to train again"
        )
    else:
        fabric.print(f"{name}: {compile_objective(stepper, training, shard)}")
    norms = BatchNormSnapshot(objective) if training.on_bad_loss == "skip" else None
    skipped = int(guard.refused)
    parts = crop_batches(crops, shard, start, iterations, training.workers)
    progress = TrainingProgress(name, start, iterations, shown=fabric.is_global_zero)
    with report_lost_workers():
        for iteration in range(start, iterations):
            end, power = training.min_learning_rate, training.learning_rate_power
            rate = optimizer.param_groups[0]["lr"] = polynomial_rate(iteration, iterations, learning_rate, end, power)
            batch = list(islice(parts, shard.parts))  # before seeding: a loader that starts draws a number
            rank = fabric.global_rank  # each process has its own noise; the first has that of one process
            entropy = np.random.SeedSequence([crops.seed, 2, iteration, *([rank] if rank else [])])
            torch.manual_seed(int(entropy.generate_state(1)[0]))
            if norms:
                norms.take()
            losses, good = stepper.step(iteration, batch)
            if norms:
                norms.restore_unless(good)

            done = iteration + 1
            logs = done % training.log_every == 0 or done == iterations
            saves = done % training.checkpoint_every == 0 or done == iterations
            if logs or saves:  # read nothing earlier, because reading waits for the device
                skipped = _skipped(guard, training, crops, shard, name)
            if logs:
                terms = _averaged([{"total": loss.total, **loss.terms} for loss in losses])
                metrics = _averaged([loss.metrics for loss in losses])
                row = {"iteration": done, "learning_rate": rate, **terms, **metrics, "skipped": skipped}
                curve.append({**row, "iterations_per_s": progress.lap_rate(done)})
                fabric.log_dict(curve[-1], done)
                progress.show(done, terms)
            if not fabric.is_global_zero:
                continue
            if validation and (done % validation.every == 0 or done == iterations):
                fabric.print(f"{name}: {done}/{iterations}  {validation.judge(done)}")
                fabric.log_dict({"val_miou": validation.scores[-1].miou}, done)
            if saves:
                state = ResumeState(done, curve, precision.state_dict())
                save_state(scratch / STATE, objective, guard, optimizer, state)
                if validation:
                    validation.forget()
                on_save()
    if skipped:
        fabric.print(
            f"{name}: {skipped} of {iterations} updates were skipped, the first at iteration {int(guard.first_refused)}"
        )
    return curve


def write_curve(path: Path, curve: Curve) -> None:
    """Write one CSV row for each logged iteration."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in curve)


def _shard(training: TrainingParams, fabric: Fabric) -> BatchShard:
    shards = fabric.world_size * training.accumulate
    if training.batch_size % shards or (training.batch_size == training.accumulate and fabric.world_size == 1):
        raise MachineError(
            f"training.batch_size {training.batch_size} cannot be divided among {fabric.world_size} process(es) with "
            f"{training.accumulate} part(s) each; set a multiple of {shards}, with at least two images for BatchNorm"
        )
    return BatchShard(training.batch_size, training.accumulate, fabric.global_rank, fabric.world_size)


def _skipped(guard: LossGuard, training: TrainingParams, crops: CropDataset, shard: BatchShard, name: str) -> int:
    """Count the refused updates so far; raise Diverged at the first one if `on_bad_loss` is `stop`."""
    refused = int(guard.refused)
    if refused and training.on_bad_loss == "stop":
        iteration = int(guard.first_refused)
        batch = range(iteration * shard.batch_size, (iteration + 1) * shard.batch_size)
        ids = [crops.sample(index).id for index in batch]
        raise Diverged(
            f"{name}: the loss is NaN, infinite, or spiked at iteration {iteration} (loss "
            f"{guard.first_refused_loss.item():.4g}, mean before {guard.mean_loss.item():.4g}); samples of this "
            f"batch: {', '.join(ids)}. Lower the learning_rate or the method's weight in params.yaml, look at these "
            f"samples, or set training.on_bad_loss to skip. The last good state is kept"
        )
    return refused


def _averaged(records: Sequence[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Average over the parts of a batch and the processes, and copy the result to the host."""
    means = {key: torch.stack([record[key] for record in records]).mean() for key in records[0]}
    return {key: mean_over_processes(mean).item() for key, mean in means.items()}
