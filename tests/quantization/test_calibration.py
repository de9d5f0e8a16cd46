import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.files import sha256
from pipeline.data.samples import Sample
from pipeline.errors import DatasetError
from pipeline.quantization.calibration import choose_calibration, write_calibration
from tests.raising import raises


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Forty images, each of one grey, in no order."""
    found = []
    for index, grey in enumerate(np.random.default_rng(0).permutation(40) * 6):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.full((8, 12, 3), grey, np.uint8)).save(path)
        found.append(Sample(str(index), "train", "s", path, None, sha256(path), ""))
    return found


def brightness(sample: Sample) -> float:
    return float(np.asarray(Image.open(sample.image)).mean())


def test_darkest_and_brightest_are_among_them(samples: list[Sample]) -> None:
    chosen = choose_calibration(samples, 10)
    assert len({sample.id for sample in chosen}) == 10
    found = [brightness(sample) for sample in chosen]
    assert (min(found), max(found)) == (0, 39 * 6)
    assert np.diff(sorted(found)).max() <= 6 * 6  # nowhere a gap
    assert chosen == choose_calibration(samples, 10)


def test_all_of_them(samples: list[Sample]) -> None:
    assert {s.id for s in choose_calibration(samples, 40)} == {s.id for s in samples}


def test_too_few_are_refused(samples: list[Sample]) -> None:
    with raises(DatasetError, "40", "quantization.calibration_images", "41"):
        choose_calibration(samples, 41)


def test_the_list_names_images_and_their_bytes(samples: list[Sample], tmp_path: Path) -> None:
    write_calibration(tmp_path / "calibration.csv", samples[:3])
    with (tmp_path / "calibration.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    assert all(sha256(s.image) == row["image_sha256"] for s, row in zip(samples[:3], rows, strict=True))
