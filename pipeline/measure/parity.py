"""Measure how far one artifact agrees with another on the same images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.data.boundaries import near_boundary
from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image, read_labels, read_mask
from pipeline.data.samples import Sample
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.params.deployment import BudgetParams, ParityParams
from pipeline.records.artifacts import Parity
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import Runner


class Agreement:
    """The agreement of two sets of predictions, to which images are added one by one."""

    def __init__(self, classes: ClassTable, boundary_pixels: int):
        self.classes = classes
        self.boundary_pixels = boundary_pixels
        self.ours, self.theirs = ConfusionMatrix(len(classes.classes)), ConfusionMatrix(len(classes.classes))
        self.of_images: dict[str, float] = {}
        self.boundary = self.boundary_equal = 0

    def add(self, sample_id: str, prediction: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> None:
        """Add one image; the three arrays are train ids, uint8 (H, W)."""
        equal = prediction == reference
        band = near_boundary(reference, self.boundary_pixels)
        self.of_images[sample_id] = float(equal.mean())
        self.boundary += int(band.sum())
        self.boundary_equal += int(equal[band].sum())
        self.ours.add(labels, prediction)
        self.theirs.add(labels, reference)

    def parity(self, runtime: str) -> Parity:
        lost = 100 * (self.theirs.iou_per_class() - self.ours.iou_per_class())
        worst_class = int(np.where(self.theirs.labelled, lost, -np.inf).argmax())
        worst_image = min(self.of_images, key=self.of_images.__getitem__)
        return Parity(
            runtime=runtime,
            images=len(self.of_images),
            pixel_agreement=float(np.mean(list(self.of_images.values()))),
            boundary_agreement=self.boundary_equal / self.boundary if self.boundary else None,
            worst_image=worst_image,
            worst_agreement=self.of_images[worst_image],
            reference_miou=self.theirs.miou(),
            miou=self.ours.miou(),
            miou_lost_points=100 * (self.theirs.miou() - self.ours.miou()),
            worst_class=self.classes.names[worst_class],
            worst_class_lost_points=float(lost[worst_class]),
        )


def measure_parity(
    runner: Runner, resizing: Resizing, samples: Sequence[Sample], predictions: Path, classes: ClassTable,
    boundary_pixels: int, title: str,
) -> Parity:  # fmt: skip
    """Run an artifact on all samples, and compare it with its source's predictions at the images' own sizes.

    Args:
        predictions: folder of the source's predictions, one PNG of train ids for each sample id.
        title: text of the progress bar.
    """
    agreement = Agreement(classes, boundary_pixels)
    for sample in track(samples, f"{title}: parity"):
        prediction = resizing.segment(runner.run, [read_image(sample.image, sample.image_sha256)])[0]
        reference = read_mask(predictions / f"{sample.id}.png")
        agreement.add(sample.id, prediction, reference, read_labels(sample, classes))
    return agreement.parity(runner.name)


def engine_budget(parity: ParityParams, precision: str) -> BudgetParams:
    """Return the budget of an engine of this precision."""
    return {"fp32": parity.engine_fp32, "fp16": parity.fp16, "int8": parity.int8}[precision]


def complaints(parity: Parity, budget: BudgetParams) -> list[str]:
    """Return one phrase for each measure that is over its budget, with both numbers; an empty list if none is."""
    found = []
    pixels, boundary = parity.pixel_agreement, parity.boundary_agreement
    if pixels < budget.min_pixel_agreement:
        worst = f"worst image {parity.worst_image}: {100 * parity.worst_agreement:.2f} %"
        found.append(f"{100 * pixels:.4f} % equal pixels, minimum {100 * budget.min_pixel_agreement:g} % ({worst})")
    if boundary is not None and boundary < budget.min_boundary_agreement:
        needed = f"{100 * budget.min_boundary_agreement:g} %"
        found.append(f"{100 * boundary:.3f} % equal pixels at boundaries, minimum {needed}")
    for lost, what, allowed in (
        (parity.miou_lost_points, "mIoU lost", budget.max_miou_lost_points),
        (parity.worst_class_lost_points, f"IoU lost by class {parity.worst_class}", budget.max_class_lost_points),
    ):
        if lost > allowed:
            found.append(f"{lost:.3f} points of {what}, maximum {allowed:g}")
    return found
