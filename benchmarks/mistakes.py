"""Plant label mistakes in a split and count how many the scores of stage inspect find.

Gives the largest region of one class another class, in each of N masks, in memory. The teacher's scores then rank all
masks of the split. Use a split that the teacher was not trained on, because it may have memorized the labels of others.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.record import begun
from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.files import write_json
from pipeline.data.images import read_labels
from pipeline.data.samples import read_samples
from pipeline.inspection.scores import find_mistakes, mistake_score
from pipeline.inspection.teacher import Teacher
from pipeline.params.tree import load_params
from pipeline.threads import available_threads


class Planted(NamedTuple):
    """A mask in which one region has the wrong class."""

    labels: np.ndarray  # train ids, uint8 (H, W)
    right: int
    wrong: int
    pixels: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", default="val", help="split whose masks are scored")
    parser.add_argument("--count", type=int, default=20, help="number of masks with a planted mistake")
    parser.add_argument("--seed", type=int, default=0, help="seed of the planted mistakes")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/mistakes.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    record = measure(arguments.split, arguments.count, arguments.seed)
    write_json(arguments.out, {**begun(), **record})
    print(f"{record['found']} of {record['planted']} found among {record['masks']} masks; wrote {arguments.out}")


def measure(split: str, count: int, seed: int) -> dict[str, Any]:
    """Plant mistakes, then score and rank all masks, in the profile of the current folder."""
    params = load_params()
    table = ClassTable.load(Path("data/prepared/classes.json"))
    samples = read_samples(Path("data/curated/samples.csv"), split)
    labels = {sample.id: read_labels(sample, table) for sample in samples}
    planted = plant_some(labels, count, params.inspection.min_region_pixels, np.random.default_rng(seed))
    labels |= {sample_id: entry.labels for sample_id, entry in planted.items()}

    checkpoint = Path("artifacts/teacher/checkpoint.safetensors")
    teacher = Teacher(checkpoint, table.names, available_threads(), params.export.resizing)
    scores: dict[str, float] = {}
    outputs = teacher.look_at(samples, params.evaluation.batch_size, lambda sample: labels[sample.id])
    for sample, of_image, output in outputs:
        mistakes = find_mistakes(output, of_image, table.names, params.inspection)
        scores[sample.id] = mistake_score(mistakes, of_image) or 0.0
    ranks = ranks_of(planted, scores)
    return {
        "split": split,
        "masks": len(scores),
        "planted": len(planted),
        "found": sum(rank <= len(planted) for rank in ranks.values()),
        "precision": sum(rank <= len(planted) for rank in ranks.values()) / len(planted),
        "precision_by_chance": len(planted) / len(scores),
        "median_rank": float(np.median(list(ranks.values()))),
        "cases": [
            {
                "id": sample_id,
                "right": table.names[entry.right],
                "wrong": table.names[entry.wrong],
                "pixels": entry.pixels,
                "score": scores[sample_id],
                "rank": ranks[sample_id],
            }
            for sample_id, entry in planted.items()
        ],
    }


def plant_some(
    labels: Mapping[str, np.ndarray], count: int, min_pixels: int, random: np.random.Generator
) -> dict[str, Planted]:
    """Plant one mistake in each of `count` masks; returns the changed masks by sample id.

    Args:
        labels: masks by sample id; train ids, uint8 (H, W).
    """
    present = np.unique(np.concatenate([np.unique(of_image) for of_image in labels.values()]))
    classes = [int(train_id) for train_id in present if train_id != IGNORE_INDEX]
    planted: dict[str, Planted] = {}
    for sample_id in random.permutation(list(labels)).tolist():
        if len(planted) == count:
            break
        mistake = plant(labels[sample_id], classes, min_pixels, random)
        if mistake is not None:
            planted[sample_id] = mistake
    return planted


def plant(labels: np.ndarray, classes: Sequence[int], min_pixels: int, random: np.random.Generator) -> Planted | None:
    """Give the largest region of a random class in a mask another class; returns None if all regions are too small."""
    for right in random.permutation(np.unique(labels[labels != IGNORE_INDEX])).tolist():
        _, regions, boxes, _ = cv2.connectedComponentsWithStats((labels == right).astype(np.uint8), connectivity=8)
        sizes = boxes[1:, cv2.CC_STAT_AREA]
        if sizes.max() >= min_pixels:
            wrong = int(random.choice([train_id for train_id in classes if train_id != right]))
            relabelled = np.where(regions == 1 + sizes.argmax(), np.uint8(wrong), labels)
            return Planted(relabelled, right, wrong, int(sizes.max()))
    return None


def ranks_of(chosen: Sequence[str] | Mapping[str, Any], scores: Mapping[str, float]) -> dict[str, int]:
    """Return the rank of each chosen sample by score, from 1; samples of equal score get the worst of their ranks."""
    return {sample_id: sum(score >= scores[sample_id] for score in scores.values()) for sample_id in chosen}
