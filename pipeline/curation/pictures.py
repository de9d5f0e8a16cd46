"""Draw what curation found, so that people can check it by eye."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from pipeline.curation.duplicates import NearPair
from pipeline.curation.statistics import Findings
from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import ImageError, read_image
from pipeline.data.labels import read_labels
from pipeline.data.samples import Sample

PAIRS = 6
"""Pairs that are shown of leakage and of near-duplicates, the nearest."""

SAMPLES = 3
"""Samples that are shown of every other rule, the first."""

WIDTH = 360
"""Pixels of each of the two panels."""

TALLEST = 4 * WIDTH
"""Of a panel; what is taller still is squeezed."""

GAP = 8
JPEG_QUALITY = 85


class Picture(NamedTuple):
    file: Path
    caption: str


UNDECODABLE = (
    "unreadable_image", "unreadable_mask", "truncated_image", "truncated_mask", "too_large", "unusable_mode",
)  # fmt: skip
"""Rules about files that are not decoded here either: they may be bombs, or pipes that block."""


def draw_pictures(findings: Findings, classes: ClassTable, folder: Path) -> dict[str, list[Picture]]:
    """Write pictures of two panels into `folder`, whatever was there before, and list them by rule.

    Pairs show both images; everything else shows the image, and the mask laid over it. What cannot be decoded is not
    shown.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    samples = {sample.id: sample for sample in findings.samples}
    leaking = sorted((near for pair in findings.split_pairs for near in pair.leaking), key=lambda near: near.distance)
    drawn = {
        "leakage": _of_pairs("leakage", leaking, samples, folder),
        "near_duplicate": _of_pairs("near_duplicate", findings.near_duplicates, samples, folder),
    }
    hidden = {f.sample.id for f in findings.found if f.rule in UNDECODABLE and f.sample is not None}
    for rule in findings.policies:
        if rule not in drawn and rule not in UNDECODABLE and rule != "shared_sequence":
            about = [f.sample for f in findings.found if f.rule == rule and f.sample is not None]
            found = [sample for sample in about if sample.id not in hidden]
            drawn[rule] = _of_samples(rule, found, classes, folder)
    return {rule: pictures for rule, pictures in drawn.items() if pictures}


def _of_pairs(rule: str, pairs: Sequence[NearPair], samples: dict[str, Sample], folder: Path) -> list[Picture]:
    pictures = []
    for near in pairs[:PAIRS]:
        earlier, later = samples[near.earlier], samples[near.later]
        try:
            panels = [read_image(earlier.image), read_image(later.image)]
        except ImageError:  # gone since it was measured
            continue
        caption = f"{earlier.split} {near.earlier} | {later.split} {near.later} | distance {near.distance:.4f}"
        pictures.append(_save(panels, folder / f"{rule}_{len(pictures) + 1}.jpg", caption))
    return pictures


def _of_samples(rule: str, found: Sequence[Sample], classes: ClassTable, folder: Path) -> list[Picture]:
    pictures: list[Picture] = []
    for sample in found:
        if len(pictures) == SAMPLES:
            break
        try:
            image, labels = read_image(sample.image), read_labels(sample, classes)
        except ImageError:
            continue
        colors = classes.palette()[labels]
        if colors.shape == image.shape:
            colors = cv2.addWeighted(image, 0.45, colors, 0.55, 0)
        file = folder / f"{rule}_{len(pictures) + 1}.jpg"
        pictures.append(_save([image, colors], file, f"{sample.split} {sample.id}"))
    return pictures


def _save(panels: Sequence[np.ndarray], file: Path, caption: str) -> Picture:
    """Panels side by side, each WIDTH pixels wide, on white."""
    fitted = [_fitted(panel) for panel in panels]
    height = max(panel.shape[0] for panel in fitted)
    sheet = np.full((height, len(panels) * (WIDTH + GAP) - GAP, 3), 255, dtype=np.uint8)
    for position, panel in enumerate(fitted):
        left = position * (WIDTH + GAP)
        sheet[: panel.shape[0], left : left + WIDTH] = panel
    encoded = io.BytesIO()
    Image.fromarray(sheet).save(encoded, format="JPEG", quality=JPEG_QUALITY)
    with replacing(file) as temporary:
        temporary.write_bytes(encoded.getvalue())
    return Picture(file, caption)


def _fitted(panel: np.ndarray) -> np.ndarray:
    height = min(max(1, round(panel.shape[0] * WIDTH / panel.shape[1])), TALLEST)
    enlarges = panel.shape[1] < WIDTH
    return cv2.resize(panel, (WIDTH, height), interpolation=cv2.INTER_NEAREST if enlarges else cv2.INTER_AREA)
