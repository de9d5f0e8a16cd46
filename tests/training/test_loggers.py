"""Curves in TensorBoard, MLflow and Weights & Biases: the numbers of training.csv, and no part of what is trained."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic_core import to_jsonable_python

from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.errors import MachineError
from pipeline.training.fabric import TRACKING, launch, make_loggers
from pipeline.training.loop import fit
from pipeline.training.objective import SupervisedObjective
from pipeline.training.validation import Validation
from tests.raising import raises
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples


def test_tensorboard_shows_the_rows_of_the_curve(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    training = toy_training(batch_size=2, log_every=2, checkpoint_every=2)
    listed = write_toy_samples(tmp_path / "toy")
    loggers = make_loggers(["tensorboard"], "a_run", tmp_path)
    torch.manual_seed(0)
    segmenter = toy_segmenter()[0]
    validation = Validation(segmenter, read_samples(listed, "val"), TOY_CLASSES, 3, tmp_path / "state")
    crops = crop_dataset(read_samples(listed, "train"), TOY_CLASSES, training, 0, tmp_path)
    curve = fit(
        SupervisedObjective(segmenter, TOY_TASK), crops, training, launch(1, "fp32", False, loggers), name="a_run",
        iterations=6, learning_rate=0.05, scratch=tmp_path / "state", validation=validation,
    )  # fmt: skip
    for logger in loggers:
        logger.finalize("success")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard/a_run"))
    events.Reload()
    seen = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in ("total", "val_miou")}
    assert seen["total"] == [(row["iteration"], pytest.approx(row["total"])) for row in curve]
    assert seen["val_miou"] == [(score.iteration, pytest.approx(score.miou)) for score in validation.scores]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_what_is_not_installed_is_told_before_anything_is_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACKING, tmp_path.as_uri())
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)  # as where it is not installed
    with raises(MachineError, name, "pytorch-lightning"):
        make_loggers([name], "a_run", tmp_path)


def test_mlflow_without_a_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACKING, raising=False)
    with raises(MachineError, TRACKING):
        make_loggers(["mlflow"], "a_run", tmp_path)


def test_they_are_no_part_of_what_is_trained() -> None:
    training = toy_training()
    logged = replace(training, loggers=["tensorboard"])
    assert logged != training
    assert to_jsonable_python(logged) == to_jsonable_python(training)
