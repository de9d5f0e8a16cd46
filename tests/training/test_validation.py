"""Scores on val while a network learns: they change nothing of it, survive kills, and choose the best weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoint import load_checkpoint
from models.segmenter import Segmenter
from pipeline.code_digest import ROOT
from pipeline.data.crops import crop_dataset
from pipeline.data.images import read_image, read_labels
from pipeline.data.samples import read_samples
from pipeline.distillation.student import train_student
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.params.tree import load_params
from pipeline.training.fabric import launch
from pipeline.training.loop import STATE, fit
from pipeline.training.objective import SupervisedObjective
from pipeline.training.prediction import predicted_labels
from pipeline.training.validation import FALLS, Validated, Validation, standing
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples

ITERATIONS = 6


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_toy_samples(tmp_path / "toy")


def _trained(listed: Path, folder: Path, every: int, until: int = ITERATIONS) -> tuple[Segmenter, Validation]:
    training = toy_training(batch_size=2, log_every=2, checkpoint_every=2)
    torch.manual_seed(0)
    segmenter = toy_segmenter()[0]
    samples = read_samples(listed, "train")
    validation = Validation(segmenter, read_samples(listed, "val"), TOY_CLASSES, every, folder)

    def killed() -> None:
        if until < ITERATIONS and validation.scores and validation.scores[-1].iteration >= until:
            raise KeyboardInterrupt

    try:
        fit(
            SupervisedObjective(segmenter, TOY_TASK), crop_dataset(samples, TOY_CLASSES, training, 0, folder), training,
            launch(1, "fp32", False), name="toy", iterations=ITERATIONS, learning_rate=0.05, scratch=folder,
            validation=validation if every else None, on_save=killed,
        )  # fmt: skip
    except KeyboardInterrupt:
        assert until < ITERATIONS
    return segmenter, validation


def test_a_training_with_scores_is_the_same_training(listed: Path, tmp_path: Path) -> None:
    plain, _ = _trained(listed, tmp_path / "plain", 0)
    scored, validation = _trained(listed, tmp_path / "scored", 1)
    assert [score.iteration for score in validation.scores] == [1, 2, 3, 4, 5, 6]
    assert all(torch.equal(tensor, scored.state_dict()[name]) for name, tensor in plain.state_dict().items())
    first, second = (load_file(tmp_path / folder / STATE) for folder in ("plain", "scored"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())  # momentum too


def test_a_score_is_the_miou_of_the_split(listed: Path, tmp_path: Path) -> None:
    segmenter, validation = _trained(listed, tmp_path, 4)
    matrix = ConfusionMatrix(len(TOY_CLASSES.classes))
    for sample in read_samples(listed, "val"):
        matrix.add(read_labels(sample, TOY_CLASSES), predicted_labels(segmenter, read_image(sample.image)))
    assert [score.iteration for score in validation.scores] == [4, ITERATIONS]
    assert validation.scores[-1].miou == matrix.miou()


def test_the_best_weights_are_kept_and_no_others(listed: Path, tmp_path: Path) -> None:
    segmenter, validation = _trained(listed, tmp_path, 1)
    last = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}
    assert [path.name for path in tmp_path.glob("best-*")] == [f"best-{validation.best.iteration}.safetensors"]
    again = Validation(segmenter, validation.samples, TOY_CLASSES, 1, tmp_path / "again")
    with validation.best_weights():
        again.judge(1)
    assert again.best.miou == validation.best.miou == max(score.miou for score in validation.scores)
    assert all(torch.equal(tensor, last[name]) for name, tensor in segmenter.state_dict().items())


@pytest.mark.parametrize("until", [2, 3, 4])
def test_a_killed_training_ends_with_the_same_scores_and_weights(listed: Path, tmp_path: Path, until: int) -> None:
    _, whole = _trained(listed, tmp_path / "whole", 1)
    _trained(listed, tmp_path / "cut", 1, until)
    (tmp_path / "cut/validation.csv").write_text((tmp_path / "cut/validation.csv").read_text() + "5,0.999\n")
    _, resumed = _trained(listed, tmp_path / "cut", 1)
    assert resumed.scores == whole.scores
    files = [folder / f"best-{whole.best.iteration}.safetensors" for folder in (tmp_path / "whole", tmp_path / "cut")]
    first, second = map(load_file, files)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_training_killed_between_its_first_score_and_the_next_state_goes_on(listed: Path, tmp_path: Path) -> None:
    _, whole = _trained(listed, tmp_path / "whole", 5)
    _trained(listed, tmp_path / "cut", 1, 2)
    (tmp_path / "cut/validation.csv").write_text("iteration,miou\n5,0.999\n")  # as if it had got on to iteration 5
    (tmp_path / "cut/best-5.safetensors").write_bytes(b"of a future that comes again")
    _, resumed = _trained(listed, tmp_path / "cut", 5)
    assert resumed.scores == whole.scores
    assert load_file(tmp_path / f"cut/best-{whole.best.iteration}.safetensors")


def test_who_watches_is_warned_of_a_network_that_gets_worse() -> None:
    scores = [Validated(100 * n, miou) for n, miou in enumerate([0.2, 0.5, *[0.4] * FALLS])]
    assert "best" in standing(scores[:2])
    assert "WARNING" not in standing(scores[:-1])
    assert "10.0 points" in standing(scores)
    assert "WARNING" in standing(scores)


@pytest.mark.parametrize("kept", ["last", "best"])
def test_the_weights_that_were_asked_for_ship_and_the_others_lie_beside_them(
    listed: Path, tmp_path: Path, kept: str
) -> None:
    run = load_params(ROOT / "params.yaml").runs["pspnet_r18"]
    toy = replace(run.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    train_student(
        name="toy", run=replace(run, network=toy, iterations=4, learning_rate=0.01), methods={}, code="",
        training=toy_training(batch_size=2, validate_every=1, checkpoint=kept),
        classes=listed.parent / "classes.json", samples=listed, statistics=listed.parent / "statistics.json",
        scratch=tmp_path / "scratch", out=tmp_path / "out",
    )  # fmt: skip
    best = "checkpoint" if kept == "best" else "best"
    last = "checkpoint" if kept == "last" else "last"
    rows = (tmp_path / "out/validation.csv").read_text().splitlines()
    scores = dict(row.split(",") for row in rows[1:])
    segmenter, _, facts = load_checkpoint(tmp_path / f"out/{best}.safetensors")
    again = Validation(segmenter, read_samples(listed, "val"), TOY_CLASSES, 1, tmp_path / "again")
    again.judge(1)
    assert again.best.miou == max(map(float, scores.values()))
    assert facts["chosen"].startswith(f"iteration {max(scores, key=lambda iteration: float(scores[iteration]))}:")
    assert "chosen" not in load_checkpoint(tmp_path / f"out/{last}.safetensors")[2]
    assert len({path.name for path in (tmp_path / "out").iterdir()}) == 4
