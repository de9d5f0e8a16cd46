"""The only training loop."""

from pathlib import Path

import numpy as np
import torch

from pipeline.data.dataset import Batch, TrainingDraws, training_batches
from pipeline.errors import SegdistillError
from pipeline.params import TrainingParams
from pipeline.training.device import autocast_dtype
from pipeline.training.objective import Loss, SupervisedObjective
from pipeline.training.optimizer import differentiate, make_optimizer, polynomial_rate
from pipeline.training.progress import TrainingProgress
from pipeline.training.resume import Progress, load_progress, save_progress

Curve = list[dict[str, float]]
STATE = "state.safetensors"


class TrainingDiverged(SegdistillError):
    """The loss is no longer a number."""


def fit(
    objective: SupervisedObjective,
    draws: TrainingDraws,
    training: TrainingParams,
    *,
    name: str,
    iterations: int,
    learning_rate: float,
    momentum_shift: float,
    device: torch.device,
    scratch: Path,
) -> Curve:
    """Minimize the objective; resumes from `scratch` where a state lies there.

    There is no validation inside: the schedule is fixed, the last iteration is the result, `evaluate` judges it.
    All that is random in an iteration depends on the seed and on its number only, so a resumed training draws what the
    uninterrupted one would have drawn.

    Args:
        momentum_shift: DOT's; 0 for plain SGD.

    Returns:
        One row every `log_every` iterations: iteration, learning_rate, total, each loss term, what the objective
        watches, iterations_per_s (since the row before).

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    objective.to(device, memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    objective.train()
    optimizer = make_optimizer(
        objective.parameters(), learning_rate, training.momentum, training.weight_decay, momentum_shift
    )
    start, curve = load_progress(scratch / STATE, objective, optimizer)
    dtype = autocast_dtype(training.precision, device)
    batches = training_batches(draws, training.batch_size, start, iterations, training.workers)
    with TrainingProgress(name, start, iterations) as progress:
        for iteration, batch in enumerate(batches, start):
            rate = polynomial_rate(
                iteration, iterations, learning_rate, training.min_learning_rate, training.learning_rate_power
            )
            optimizer.param_groups[0]["lr"] = rate
            torch.manual_seed(_iteration_seed(draws.seed, iteration))
            image, labels = batch.on(device)
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss = objective(image, labels)
            differentiate(loss, objective, optimizer, training.max_gradient_norm)
            optimizer.step()

            done = iteration + 1
            if done % training.log_every == 0 or done == iterations:
                terms = _read(loss, batch, name, iteration)
                watched = {name: value.item() for name, value in loss.watched.items()}
                row = {"iteration": done, "learning_rate": rate, **terms, **watched}
                curve.append({**row, "iterations_per_s": progress.lap_rate(done)})
                progress.show(done, terms)
            if done % training.checkpoint_every == 0 and done < iterations:
                _read(loss, batch, name, iteration)  # a diverged state must never be saved
                save_progress(scratch / STATE, objective, optimizer, Progress(done, curve))
    return curve


def _iteration_seed(seed: int, iteration: int) -> int:
    return int(np.random.SeedSequence([seed, 2, iteration]).generate_state(1)[0])


def _read(loss: Loss, batch: Batch, name: str, iteration: int) -> dict[str, float]:
    """Bring the loss to the host and make sure that it is a number."""
    terms = {"total": loss.total.item(), **{term: value.item() for term, value in loss.terms.items()}}
    if not np.isfinite(list(terms.values())).all():
        shown = ", ".join(f"{term} {value:.4g}" for term, value in terms.items())
        raise TrainingDiverged(
            f"{name}: the loss is not finite at iteration {iteration} ({shown}); samples of this batch: "
            f"{', '.join(batch.ids)}. Lower the learning_rate or the method's weight in params.yaml, "
            f"or look at these samples; the last good state is kept"
        )
    return terms
