"""The confusion matrix against its definition and against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassJaccardIndex

from pipeline.data.classes import IGNORE_INDEX
from pipeline.measure.accuracy import ConfusionMatrix
from tests.raising import raises


def _random(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, size=(2, 9, 7)).astype(np.uint8)
    labels[random.random(labels.shape) < 0.2] = IGNORE_INDEX
    return labels, random.integers(0, classes, size=labels.shape).astype(np.uint8)


def _as_tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array.astype(int)) for array in arrays]


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 20))
def test_matches_its_definition(seed: int, classes: int) -> None:
    labels, prediction = _random(seed, classes)
    matrix = ConfusionMatrix(classes)
    for one_labels, one_prediction in zip(labels, prediction, strict=True):
        matrix.add(one_labels, one_prediction)
    known = labels != IGNORE_INDEX
    for train_id, iou in enumerate(matrix.iou_per_class()):
        union = (((labels == train_id) | (prediction == train_id)) & known).sum()
        hits = ((labels == train_id) & (prediction == train_id)).sum()
        labelled = (labels == train_id).any()
        assert iou == pytest.approx(hits / union) if labelled else np.isnan(iou)
    if known.any():
        assert matrix.pixel_accuracy() == pytest.approx((labels == prediction)[known].mean())


def test_agrees_with_torchmetrics() -> None:
    labels, prediction = _random(1, 5)
    matrix = ConfusionMatrix(5)
    matrix.add(labels, prediction)
    theirs = MulticlassJaccardIndex(5, average="none", ignore_index=IGNORE_INDEX)
    theirs.update(*_as_tensors(prediction, labels))
    assert matrix.iou_per_class() == pytest.approx(theirs.compute().numpy(), rel=1e-6)
    macro = MulticlassJaccardIndex(5, average="macro", ignore_index=IGNORE_INDEX)
    assert matrix.miou() == pytest.approx(macro(*_as_tensors(prediction, labels)).item(), rel=1e-6)


def test_the_classes_of_miou_are_those_of_the_labels_whatever_is_predicted() -> None:
    """One pixel of an absent class costs its own class a pixel; torchmetrics adds a class of IoU 0."""
    labels = np.repeat(np.array([[0, 1, 2, IGNORE_INDEX]], np.uint8), 25, axis=0)
    prediction = labels % IGNORE_INDEX
    clean, stray = ConfusionMatrix(4), ConfusionMatrix(4)
    clean.add(labels, prediction)
    prediction[0] = 3  # the last one is not labelled
    stray.add(labels, prediction)
    assert clean.miou() == 1.0
    for matrix in (clean, stray):
        assert matrix.labelled.tolist() == np.isfinite(matrix.iou_per_class()).tolist() == [True, True, True, False]
    assert stray.miou() == pytest.approx(24 / 25)
    per_class = MulticlassJaccardIndex(4, average="none", ignore_index=IGNORE_INDEX)
    theirs = per_class(*_as_tensors(prediction, labels)).numpy()
    assert stray.miou() == pytest.approx(theirs[:3].mean())
    macro = MulticlassJaccardIndex(4, average="macro", ignore_index=IGNORE_INDEX)
    assert macro(*_as_tensors(prediction, labels)).item() == pytest.approx(theirs.mean()) == 0.75 * stray.miou()


def test_unlabelled_pixels_count_nothing() -> None:
    matrix = ConfusionMatrix(2)
    matrix.add(np.full((3, 3), IGNORE_INDEX, np.uint8), np.zeros((3, 3), np.uint8))
    assert matrix.counts.sum() == 0
    assert np.isnan(matrix.miou())
    assert np.isnan(matrix.pixel_accuracy())


@pytest.mark.parametrize(
    ("labels", "prediction", "values"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), ((2, 2), (2, 3))),
        (np.full((2, 2), 7, np.uint8), np.zeros((2, 2), np.uint8), ("id 7", "3 classes")),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 254, np.uint8), ("id 254", "3 classes")),
    ],
)
def test_nonsense_is_refused(labels: np.ndarray, prediction: np.ndarray, values: tuple[object, ...]) -> None:
    with raises(ValueError, *values):
        ConfusionMatrix(3).add(labels, prediction)
