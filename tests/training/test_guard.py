"""Bad losses: noticed, never learned from, named or counted."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.errors import Diverged
from pipeline.params.training import TrainingParams
from pipeline.training.fabric import launch
from pipeline.training.loop import fit
from pipeline.training.objective import Loss, SupervisedObjective
from pipeline.training.step import WARM_UP, LossGuard
from tests.raising import raises
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples


class OneBadLoss(SupervisedObjective):
    """A loss that is multiplied with `factor` in one iteration, as a broken sample would do it."""

    def __init__(self, at: int, factor: float):
        torch.manual_seed(0)
        super().__init__(toy_segmenter()[0], TOY_TASK)
        self.at, self.factor, self.calls = at, factor, 0

    def compare(self, image: Tensor, labels: Tensor) -> Loss:
        bad = self.calls == self.at
        self.calls += 1
        loss = super().compare(image * torch.nan if bad and self.factor != self.factor else image, labels)
        return loss._replace(task=loss.task * self.factor) if bad else loss


@pytest.fixture
def training() -> TrainingParams:
    return toy_training(batch_size=2)


def _fit(training: TrainingParams, objective: SupervisedObjective, folder: Path, shift: float = 0.0):
    samples = read_samples(write_toy_samples(folder / "toy"), "train")
    crops = crop_dataset(samples, TOY_CLASSES, training, 0, folder)
    return fit(
        objective, crops, training, launch(1, "fp32", False), name="toy",
        iterations=WARM_UP + 10, learning_rate=0.01, momentum_shift=shift, scratch=folder / "scratch",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at", "factor"),
    [
        pytest.param(0, torch.nan, marks=pytest.mark.slow),
        (7, torch.nan),
        pytest.param(7, torch.inf, marks=pytest.mark.slow),
        (WARM_UP + 3, 1e4),
    ],
)
def test_a_bad_loss_is_skipped_and_counted_and_leaves_no_trace(
    training: TrainingParams, tmp_path: Path, at: int, factor: float
) -> None:
    training = replace(training, on_bad_loss="skip")
    objective = OneBadLoss(at, factor)
    curve = _fit(training, objective, tmp_path)
    assert [row["skipped"] for row in curve] == [float(row["iteration"] > at) for row in curve]
    state = objective.network.state_dict()
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert curve[-1]["task"] < curve[0]["task"] or at == 0


@pytest.mark.parametrize(("at", "factor"), [(7, torch.nan), (WARM_UP + 3, 1e4)])
def test_or_it_ends_the_training_with_the_names_of_the_samples(
    training: TrainingParams, tmp_path: Path, at: int, factor: float
) -> None:
    with raises(Diverged, f"iteration {at} ") as ended:
        _fit(training, OneBadLoss(at, factor), tmp_path)
    assert re.search(r"[^,] toy_\d+, toy_\d+\.", str(ended.value))


def test_a_leap_counts_only_where_it_is_asked_for(training: TrainingParams, tmp_path: Path) -> None:
    curve = _fit(replace(training, spike_factor=0.0), OneBadLoss(WARM_UP + 3, 100.0), tmp_path)
    assert curve[-1]["skipped"] == 0


def test_the_usual_loss_is_that_of_the_accepted_ones() -> None:
    guard = LossGuard(spike_factor=2.0)
    for iteration in range(WARM_UP):
        guard.record(iteration, torch.tensor(3.0), torch.tensor(True))
    assert guard.weight(torch.tensor(5.9)) == 1
    assert guard.weight(torch.tensor(6.1)).isnan()
    guard.record(WARM_UP, torch.tensor(torch.nan), torch.tensor(False))
    assert guard.weight(torch.tensor(5.9)) == 1
    assert (int(guard.refused), int(guard.first_refused)) == (1, WARM_UP)
