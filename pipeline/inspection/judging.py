"""What each network made of one sample, and how it compares with the teacher and with its baseline."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.inspection.records import TEACHER, Judgement
from pipeline.inspection.scores import agreement, boundary_error
from pipeline.measure.accuracy import ConfusionMatrix


class Prediction(NamedTuple):
    """What a network says about a sample."""

    path: Path
    train_ids: np.ndarray  # uint8 (H, W)


def judge_networks(
    predictions: Mapping[str, Prediction],
    labels: np.ndarray,
    baselines: Mapping[str, str],
    classes: int,
    boundary_pixels: int,
) -> dict[str, Judgement]:
    """Judge all predictions of one sample.

    Args:
        predictions: by network; the teacher's is among them.
        labels: train ids, uint8 (H, W).
        baselines: of each network but the teacher; a baseline is its own.
        classes: how many there are.
        boundary_pixels: see boundary_error.
    """
    judged = {name: _alone(prediction, labels, classes, boundary_pixels) for name, prediction in predictions.items()}
    seen = predictions[TEACHER].train_ids
    for name, baseline in baselines.items():
        miou, other = judged[name].miou, judged[baseline].miou
        judged[name] = replace(
            judged[name],
            agreement=agreement(predictions[name].train_ids, seen),
            gain=None if baseline == name or miou is None or other is None else miou - other,
        )
    return judged


def _alone(prediction: Prediction, labels: np.ndarray, classes: int, boundary_pixels: int) -> Judgement:
    confusion = ConfusionMatrix(classes)
    confusion.add(labels, prediction.train_ids)
    return Judgement(
        prediction=prediction.path.as_posix(),
        miou=_or_none(confusion.miou()),
        pixel_accuracy=_or_none(confusion.pixel_accuracy()),
        boundary_error=boundary_error(prediction.train_ids, labels, boundary_pixels),
        agreement=None,
        gain=None,
    )


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share
