from pathlib import Path

import numpy as np
import pytest

from pipeline.data.classes import IGNORE_INDEX
from pipeline.inspection.scores import score_networks

LABELS = np.array([[0, 0, 1, 1], [0, 0, 1, IGNORE_INDEX]], dtype=np.uint8)
ALL_0 = np.zeros_like(LABELS)
RIGHT = np.where(LABELS == IGNORE_INDEX, 0, LABELS)
NETWORKS = {"teacher": RIGHT, "distilled": 1 - RIGHT, "plain": ALL_0}
BASELINES = {"distilled": "plain", "plain": "plain"}


def scored(labels: np.ndarray) -> dict:
    predictions = {name: (Path(name) / "x.png", train_ids) for name, train_ids in NETWORKS.items()}
    return score_networks(predictions, labels, BASELINES, classes=3, boundary_pixels=1)


def test_every_network_is_scored_by_the_labels() -> None:
    result = scored(LABELS)
    assert list(result) == list(NETWORKS)
    assert (result["teacher"].miou, result["teacher"].pixel_accuracy, result["teacher"].boundary_error) == (1, 1, 0)
    assert result["plain"].miou == pytest.approx((4 / 7 + 0) / 2)
    assert result["plain"].pixel_accuracy == pytest.approx(4 / 7)
    assert result["plain"].boundary_error == pytest.approx(2 / 4)
    assert result["plain"].prediction == "plain/x.png"


def test_every_network_has_the_classes_of_the_labels() -> None:
    stray = RIGHT.copy()
    stray[0, 0] = 2
    predictions = {"teacher": (Path("x.png"), RIGHT), "stray": (Path("y.png"), stray)}
    result = score_networks(predictions, LABELS, {"stray": "stray"}, classes=3, boundary_pixels=1)
    assert result["stray"].miou == pytest.approx((3 / 4 + 1) / 2)


def test_agreement_is_with_the_teacher_and_gain_over_the_baseline() -> None:
    result = scored(LABELS)
    assert (result["teacher"].agreement, result["teacher"].gain) == (None, None)
    assert (result["plain"].agreement, result["plain"].gain) == (5 / 8, None)
    assert result["distilled"].agreement == 0
    assert result["distilled"].gain == pytest.approx(0 - 2 / 7)


def test_without_labels_only_the_teacher_can_be_compared_with() -> None:
    result = scored(np.full_like(LABELS, IGNORE_INDEX))
    assert result["distilled"].agreement == 0
    for scores in result.values():
        assert (scores.miou, scores.pixel_accuracy, scores.boundary_error, scores.gain) == (None,) * 4
