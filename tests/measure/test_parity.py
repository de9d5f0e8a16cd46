"""Agreement of two sets of predictions, against counting by hand."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.images import write_mask
from pipeline.data.samples import Sample, read_samples
from pipeline.measure.parity import Agreement, complaints, measure_parity
from pipeline.params.deployment import BudgetParams
from tests.toy import TOY_CLASSES, write_toy_samples
from tests.toy_run import RESIZING

BUDGET = BudgetParams(
    min_pixel_agreement=0.9, min_boundary_agreement=0.8, max_miou_lost_points=0.5, max_class_lost_points=1.0
)


def test_a_reproduction_agrees_in_everything() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    reference = np.roll(labels, 1, axis=1)
    agreement = Agreement(TOY_CLASSES, 2)
    agreement.add("a", reference, reference, labels)
    parity = agreement.parity("x")
    assert (parity.pixel_agreement, parity.boundary_agreement, parity.worst_agreement) == (1, 1, 1)
    assert parity.miou == parity.reference_miou
    assert (parity.miou_lost_points, parity.worst_class_lost_points) == (0, 0)
    assert complaints(parity, BUDGET) == []


def test_what_differs_is_counted() -> None:
    """Left half class 0, right half class 1; the artifact moves the border by one column and misses one corner."""
    reference = np.zeros((10, 10), dtype=np.uint8)
    reference[:, 5:] = 1
    prediction = reference.copy()
    prediction[:, 5] = 0
    prediction[0, 9] = 2
    agreement = Agreement(TOY_CLASSES, 1)
    agreement.add("same", reference, reference, reference)
    agreement.add("moved", prediction, reference, reference)
    parity = agreement.parity("x")
    assert parity.pixel_agreement == pytest.approx((1 + 0.89) / 2)
    assert (parity.worst_image, parity.worst_agreement) == ("moved", pytest.approx(0.89))
    assert parity.boundary_agreement == pytest.approx(30 / 40)  # columns 4 and 5 of both; column 5 is wrong in one
    assert parity.reference_miou == 1
    iou = [100 / 110, 89 / 100]  # class 2 is nobody's label: predicting it is an error of class 1
    assert parity.miou == pytest.approx(np.mean(iou))
    assert parity.worst_class == "box"
    assert parity.worst_class_lost_points == pytest.approx(11)


def test_a_stray_pixel_of_an_absent_class_costs_a_pixel() -> None:
    labels = np.zeros((100, 100), dtype=np.uint8)
    labels[:, 50:] = 1
    prediction = labels.copy()
    prediction[0, 0] = 2
    agreement = Agreement(TOY_CLASSES, 1)
    agreement.add("a", prediction, labels, labels)
    parity = agreement.parity("x")
    assert parity.miou_lost_points == pytest.approx(100 * 1 / 5000 / 2)
    assert (parity.worst_class, parity.worst_class_lost_points) == ("ground", pytest.approx(100 * 1 / 5000))


def test_an_absent_class_is_never_the_one_that_loses_most() -> None:
    labels = np.zeros((4, 4), dtype=np.uint8)
    labels[:2] = 1
    agreement = Agreement(TOY_CLASSES, 1)
    agreement.add("a", labels, np.where(labels == 1, 2, 1).astype(np.uint8), labels)  # better than its source
    assert agreement.parity("x").worst_class in ("ground", "box")
    assert agreement.parity("x").worst_class_lost_points == -100


def test_a_gain_is_no_loss() -> None:
    labels = np.zeros((4, 4), dtype=np.uint8)
    labels[:2] = 1
    reference = np.zeros_like(labels)
    agreement = Agreement(TOY_CLASSES, 1)
    agreement.add("a", labels, reference, labels)
    assert agreement.parity("x").miou_lost_points < 0


def test_without_borders_there_is_no_boundary_agreement() -> None:
    flat = np.zeros((4, 4), dtype=np.uint8)
    agreement = Agreement(TOY_CLASSES, 2)
    agreement.add("a", flat, flat, flat)
    assert agreement.parity("x").boundary_agreement is None
    assert complaints(agreement.parity("x"), BUDGET) == []


def test_every_measure_has_its_complaint() -> None:
    reference = np.zeros((10, 10), dtype=np.uint8)
    reference[:, 5:] = 1
    agreement = Agreement(TOY_CLASSES, 1)
    agreement.add("wrong", np.full_like(reference, 2), reference, reference)
    wanted = [
        ("0.0000 %", "90 %", "wrong: 0.00 %"), ("0.000 %", "80 %"), ("mIoU", "0.5"), ("100.000", "IoU", "ground", "1"),
    ]  # fmt: skip
    for complaint, values in zip(complaints(agreement.parity("x"), BUDGET), wanted, strict=True):
        for value in values:
            assert value in complaint


def test_a_runner_is_compared_with_its_sources_predictions(tmp_path: Path) -> None:
    samples: list[Sample] = read_samples(write_toy_samples(tmp_path), "test")
    (tmp_path / "predictions").mkdir()
    for sample in samples:
        write_mask(tmp_path / "predictions" / f"{sample.id}.png", np.zeros((48, 64), np.uint8))

    class Constant:
        name = "constant"

        def run(self, image: np.ndarray) -> np.ndarray:
            return np.zeros(image.shape[:3], np.uint8)

    parity = measure_parity(Constant(), RESIZING, samples, tmp_path / "predictions", TOY_CLASSES, 2, "toy")  # type: ignore[arg-type]
    assert (parity.runtime, parity.images, parity.pixel_agreement) == ("constant", 2, 1)
