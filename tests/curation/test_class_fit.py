"""A few odd masks are for the rules; a class table that does not go with the masks is an error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.curation.curate import require_fitting_masks
from pipeline.curation.measuring.measure import measure_sample
from pipeline.data.samples import Sample
from pipeline.errors import DatasetError
from pipeline.preparation.camvid import CAMVID_CLASSES
from tests.preparation.pictures import draw_image, draw_mask
from tests.raising import raises

MEGAPIXELS = 1.0


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four of CamVid's classes and void, and an unlabelled image."""
    labelled = [
        Sample(
            f"s{number}",
            "train",
            "x",
            draw_image(tmp_path / f"images/{number}.png", number),
            draw_mask(tmp_path / f"masks/{number}.png", 0, 3, 11),
            "",
            "",
        )
        for number in range(4)
    ]
    return [*labelled, Sample("u", "unlabelled", "x", draw_image(tmp_path / "images/u.png", 9), None, "", "")]


def masks(samples: list[Sample]) -> list[Path]:
    return [sample.mask for sample in samples if sample.mask is not None]


def check(samples: list[Sample]) -> None:
    measured = [measure_sample(sample, CAMVID_CLASSES, MEGAPIXELS) for sample in samples]
    require_fitting_masks(samples, measured, CAMVID_CLASSES)


def test_masks_that_fit(samples: list[Sample]) -> None:
    check(samples)


def test_no_mask_is_usable(samples: list[Sample]) -> None:
    for mask in masks(samples):
        Image.open(mask).convert("RGB").save(mask)
    with raises(DatasetError, "0 of", "4 masks", masks(samples)[0], "3, 3]", "264 pixels"):
        check(samples)


def test_masks_of_colors_that_the_table_lacks_are_no_matter_for_rules(samples: list[Sample]) -> None:
    """The file, the colors and their pixels are named; masks of the table's colors, or half of them, pass."""
    for mask, color in zip(masks(samples), ((128, 64, 128), (1, 2, 3), (1, 2, 3), (1, 2, 3)), strict=True):
        Image.new("RGB", (32, 24), color).save(mask)
    with raises(DatasetError, "3 of", "4 masks", masks(samples)[1], "[1, 2,", "768 pixels", "void_colors"):
        check(samples)
    Image.new("RGB", (32, 24), (128, 64, 128)).save(masks(samples)[1])
    check(samples)


def test_no_pixel_belongs_to_a_class(samples: list[Sample]) -> None:
    for mask in masks(samples):
        draw_mask(mask, 11, 200)
    with raises(DatasetError, "0 pixels", "4 masks", "11, 200", "'camvid'", "ids 11", "dataset.adapter") as caught:
        check(samples)
    assert ", ".join(map(str, range(11))) in str(caught.value)


def test_a_few_foreign_ids_are_for_the_rules_many_are_an_error(samples: list[Sample]) -> None:
    for mask in masks(samples)[:2]:
        draw_mask(mask, 3, 26)
    check(samples)
    draw_mask(masks(samples)[2], 3, 26)
    with raises(DatasetError, "3 of", "4 masks", "'camvid'", "dataset.adapter") as caught:
        check(samples)
    assert "0, 3, 11, 26" in str(caught.value)


def test_masks_that_cannot_be_read_have_no_say(samples: list[Sample]) -> None:
    for mask in masks(samples)[:3]:
        mask.write_bytes(b"no picture")
    check(samples)
    draw_mask(masks(samples)[3], 200)
    with raises(DatasetError, "0 pixels", "1 mask", "ids 200"):
        check(samples)


def test_long_lists_of_ids_are_cut(samples: list[Sample]) -> None:
    for mask in masks(samples):
        Image.fromarray(np.arange(20, 148, dtype=np.uint8).reshape(8, 16)).save(mask)
    with raises(DatasetError, "59 ...") as caught:
        check(samples)
    assert ", ".join(map(str, range(20, 60))) in str(caught.value)
