from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.curation.measurement import ImageMeasurement, MaskMeasurement, measure_samples, thumbnail
from pipeline.data.samples import Sample
from tests.preparation.pictures import HEIGHT, WIDTH, draw_image, draw_mask

images = arrays(np.uint8, (20, 24, 3), elements=st.integers(20, 180))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(1 - thumbnail(a) @ thumbnail(b))


@given(image=images)
def test_a_thumbnail_has_length_one_or_shows_nothing(image: np.ndarray) -> None:
    length = np.linalg.norm(thumbnail(image))
    assert length == pytest.approx(1, abs=1e-5) or length == 0


@given(image=images, other=images, offset=st.integers(-20, 75))
def test_distance_is_symmetric_and_ignores_brightness(image: np.ndarray, other: np.ndarray, offset: int) -> None:
    assume(thumbnail(image).any())
    assert distance(image, other) == pytest.approx(distance(other, image), abs=1e-5)
    assert distance(image, image) == pytest.approx(0, abs=1e-5)
    brighter = (image.astype(int) + offset).astype(np.uint8)
    assert distance(image, brighter) == pytest.approx(0, abs=1e-4)


def test_distance_ignores_contrast_and_size_but_not_content() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert distance(image, image // 2) < 1e-3
    assert distance(image, image.repeat(3, axis=0).repeat(3, axis=1)) < 1e-6
    assert distance(image, image[:, ::-1]) > 0.5


def test_an_image_of_one_color_is_far_from_all() -> None:
    flat = np.full((32, 32, 3), (10, 90, 200), dtype=np.uint8)
    assert not thumbnail(flat).any()
    assert distance(flat, flat) == 1


def test_measures_image_and_mask(tmp_path: Path) -> None:
    image, mask = draw_image(tmp_path / "a.png", 0), draw_mask(tmp_path / "m.png", 0, 1, 255, 255)
    ((seen, labels),) = measure_samples([Sample("a", "train", "s", image, mask)])
    assert isinstance(seen, ImageMeasurement)
    assert isinstance(labels, MaskMeasurement)
    assert seen.size == labels.size == (HEIGHT, WIDTH)
    assert labels.pixels[[0, 1, 255]].tolist() == [HEIGHT * 8, HEIGHT * 8, HEIGHT * 16]
    assert labels.pixels.sum() == HEIGHT * WIDTH


def test_digests_tell_pixels_and_not_files(tmp_path: Path) -> None:
    mask = draw_mask(tmp_path / "m.png", 0)
    paths = [draw_image(tmp_path / name, seed) for name, seed in (("a.png", 0), ("a.bmp", 0), ("b.png", 1))]
    first, same, other = (
        m.image.digest
        for m in measure_samples([Sample(p.name, "train", "s", p, mask) for p in paths])
        if isinstance(m.image, ImageMeasurement)
    )
    assert first == same != other


def test_unreadable_files_become_sentences(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    samples = [Sample("a", "train", "s", tmp_path / "broken.jpg", tmp_path / "nothing.png")]
    ((image, mask),) = measure_samples(samples)
    assert isinstance(image, str)
    assert "broken.jpg cannot be read" in image
    assert isinstance(mask, str)
    assert "nothing.png cannot be read" in mask
