"""Class weights against their definition, and what they do to a loss and to a training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from models.checkpoint import save_checkpoint
from pipeline.code_digest import ROOT
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import run_methods
from pipeline.distillation.student import train_student
from pipeline.errors import ArtifactError
from pipeline.params.tree import load_params
from pipeline.records.files import write_record
from pipeline.training.objective import class_weights, cross_entropy, load_class_weights
from tests.raising import raises
from tests.toy import TOY_CLASSES, toy_segmenter, toy_statistics, toy_training, write_toy_samples

COUNTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=40).filter(any)


@given(COUNTS, st.floats(0, 1))
def test_a_labelled_pixel_counts_one_on_average(pixels: list[int], power: float) -> None:
    weights = class_weights(pixels, power).double().numpy()
    frequency = np.array(pixels) / sum(pixels)
    assert (frequency * weights).sum() == pytest.approx(1, rel=1e-5)
    rare_first = np.argsort(np.array(pixels), kind="stable")
    present = [index for index in rare_first if pixels[index]]
    assert (np.diff(weights[present]) <= 1e-6 * weights[present].max()).all()


@given(COUNTS)
def test_the_ends_are_equal_pixels_and_equal_classes(pixels: list[int]) -> None:
    torch.testing.assert_close(class_weights(pixels, 0.0), torch.ones(len(pixels)))
    present = [index for index, count in enumerate(pixels) if count]
    shares = class_weights(pixels, 1.0).double()[present] * torch.tensor(pixels, dtype=torch.float64)[present]
    torch.testing.assert_close(shares, shares.mean().expand_as(shares), rtol=1e-5, atol=0.0)


def test_the_square_root_by_hand() -> None:
    # 90, 9 and 1 % of the pixels: frequency ** -0.5 has the mean 0.949 + 0.3 + 0.1 over pixels.
    expected = np.array([0.9, 0.09, 0.01]) ** -0.5 / (0.9**0.5 + 0.09**0.5 + 0.01**0.5)
    np.testing.assert_allclose(class_weights([900, 90, 10], 0.5).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("mean", ["all_pixels", "labelled_pixels"])
def test_a_weighted_loss_is_its_definition(mean: str) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randint(0, 3, (2, 6, 6))
    labels[0, :2] = IGNORE_INDEX
    weights = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    known = labels != IGNORE_INDEX
    log_p = logits.log_softmax(dim=1).permute(0, 2, 3, 1)[known]
    each = -log_p[torch.arange(len(log_p)), labels[known]] * weights[labels[known]]
    expected = each.sum() / (labels.numel() if mean == "all_pixels" else known.sum())
    torch.testing.assert_close(cross_entropy(logits, labels, mean, weights), expected)


def test_counts_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    write_toy_samples(tmp_path)
    path, names = tmp_path / "statistics.json", list(TOY_CLASSES.names)
    unbalanced, balanced = toy_training(class_balance=0.0), toy_training(class_balance=0.5)
    assert load_class_weights(tmp_path / "none", names, unbalanced) is None  # nothing is read where nothing is weighed
    assert load_class_weights(path, names, balanced) is not None
    with raises(ArtifactError, tmp_path / "none", "stage curate", "dvc repro"):
        load_class_weights(tmp_path / "none", names, balanced)
    with raises(ArtifactError, path, names[:2], repr(names[2]), "stage curate", "dvc repro"):
        load_class_weights(path, names[:2], balanced)
    for broken in ("{", "[]", json.dumps({"classes": names}), json.dumps({"classes": names, "splits": {"train": 3}})):
        path.write_text(broken)
        with raises(ArtifactError, path, "stage curate", "dvc repro") as refused:
            load_class_weights(path, names, balanced)
        assert str(names) not in str(refused.value)
    for impossible in (-1, 2**53, 2**70):
        write_record(path, toy_statistics(names, {"train": [5, 5, impossible]}))
        with raises(ArtifactError, path, *map(repr, names), "stage curate"):
            load_class_weights(path, names, balanced)


def test_the_counts_of_all_splits_that_are_trained_on(tmp_path: Path) -> None:
    names = ["road", "pole"]
    path, splits = tmp_path / "statistics.json", {"train": [90, 10], "val": [10, 40], "test": [1, 999]}
    write_record(path, toy_statistics(names, splits))
    for chosen, pixels in ((["train"], [90, 10]), (["train", "val"], [100, 50])):
        weights = load_class_weights(path, names, toy_training(class_balance=0.5, splits=chosen))
        assert weights is not None
        torch.testing.assert_close(weights, class_weights(pixels, 0.5))
    write_record(path, toy_statistics(names, {"train": splits["train"]}))
    with raises(ArtifactError, path, names, "train, val", "train;"):
        load_class_weights(path, names, toy_training(class_balance=0.5, splits=["train", "val"]))


@pytest.mark.parametrize("distill", [{}, {"kd": 1.0}])
def test_a_balanced_student_learns_something_else(distill: dict[str, float], tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    samples = write_toy_samples(tmp_path)
    teacher, design = toy_segmenter()
    save_checkpoint(teacher, design, {"backbone_weights": "none"}, tmp_path / "teacher.safetensors")
    recipe = params.runs["pspnet_r18"]
    network = replace(recipe.network, backbone="resnet10t", head_channels=16)

    def train(balance: float, name: str) -> dict[str, torch.Tensor]:
        run = replace(recipe, network=network, iterations=2, distill=distill)
        train_student(
            name=name, run=run, methods=run_methods(distill, {}), code="", training=toy_training(class_balance=balance),
            classes=tmp_path / "classes.json", samples=samples, statistics=tmp_path / "statistics.json",
            teacher=tmp_path / "teacher.safetensors", source=tmp_path / "none", pretrained=tmp_path / "none",
            scratch=tmp_path / "scratch", out=tmp_path / name,
        )  # fmt: skip
        return load_file(tmp_path / name / "checkpoint.safetensors")

    alike, balanced, again = train(0.0, "alike"), train(0.5, "balanced"), train(0.5, "again")
    assert any(not torch.equal(alike[name], balanced[name]) for name in alike)
    assert all(torch.equal(again[name], balanced[name]) for name in alike)
