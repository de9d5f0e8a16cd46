"""Draw curation's findings, so that people can check them by eye."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from pipeline.curation.duplicates import NearPair
from pipeline.curation.findings import Findings
from pipeline.curation.rule import all_rules
from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import ImageError, read_image, read_labels
from pipeline.data.samples import Sample

PAIRS, SAMPLES = 6, 3  # first findings of a rule that are drawn: near-duplicates, others
WIDTH, TALLEST, GAP = 360, 1440, 8  # pixels: a panel's width, its largest height (taller is squeezed), space between


class Picture(NamedTuple):
    file: Path
    caption: str


def draw_pictures(findings: Findings, classes: ClassTable, folder: Path) -> dict[str, list[Picture]]:
    """Write pictures of two panels into `folder`, which is emptied first, and return them by rule.

    A pair shows both images. Any other finding shows the image, and the image under its mask. Files that cannot be
    decoded are not drawn.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    # Files that curation did not decode are not decoded here either: they may be decompression bombs or blocking pipes.
    hidden = {finding.sample for finding in findings.found if all_rules()[finding.rule].subject == "file"}
    drawn: dict[str, list[Picture]] = {}
    for finding in findings.found:
        shown = drawn.setdefault(finding.rule, [])
        enough = len(shown) == (PAIRS if finding.pair else SAMPLES) or finding.rule == "shared_sequence"
        if finding.sample is None or finding.sample in hidden or enough:
            continue
        with suppress(ImageError):  # the file is gone since it was measured
            panels, caption = _panels(finding.sample, finding.pair, classes)
            file = folder / f"{finding.rule}_{len(shown) + 1}.jpg"
            _save(panels, file)
            shown.append(Picture(file, caption))
    return drawn


def _panels(sample: Sample, pair: NearPair | None, classes: ClassTable) -> tuple[list[np.ndarray], str]:
    """Return both images of a pair, else the image alone and under its mask; and the caption."""
    caption = f"{sample.split} {sample.id}"
    if pair:
        caption = f"{pair.earlier.split} {pair.earlier.id} | {caption} | distance {pair.distance:.4f}"
        return [read_image(pair.earlier.image), read_image(sample.image)], caption
    image, labels = read_image(sample.image), read_labels(sample, classes)
    colors = classes.palette()[labels]
    if colors.shape == image.shape:
        colors = cv2.addWeighted(image, 0.45, colors, 0.55, 0)
    return [image, colors], caption


def _save(panels: Sequence[np.ndarray], file: Path) -> None:
    """Write the panels side by side on white, each WIDTH pixels wide."""
    fitted = []
    for panel in panels:
        height = min(max(1, round(panel.shape[0] * WIDTH / panel.shape[1])), TALLEST)
        smooth = cv2.INTER_NEAREST if panel.shape[1] < WIDTH else cv2.INTER_AREA
        fitted.append(Image.fromarray(cv2.resize(panel, (WIDTH, height), interpolation=smooth)))
    sheet = Image.new("RGB", (len(panels) * (WIDTH + GAP) - GAP, max(panel.height for panel in fitted)), "white")
    for position, panel in enumerate(fitted):
        sheet.paste(panel, (position * (WIDTH + GAP), 0))
    with replacing(file) as temporary:
        sheet.save(temporary, format="JPEG", quality=85)
