"""What is measured of images and masks: by definition, by invariance, and by what must not be measured twice."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.curation.measuring.measure import measure_samples
from pipeline.curation.measuring.pixels import align, blur, border_noise, thumbnail
from pipeline.curation.measuring.record import (
    Alignment,
    ImageMeasurement,
    MaskMeasurement,
    Measurement,
    Problem,
    from_bytes,
    to_bytes,
)
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.files import sha256
from pipeline.data.samples import Sample
from tests.preparation.pictures import HEIGHT, WIDTH, draw_image, draw_mask

CLASSES = ClassTable("toy", (LabelClass("a", (1, 1, 1), (0,)), LabelClass("b", (2, 2, 2), (1,))), (255,))
KNOWN = CLASSES.lookup() != 255
images = arrays(np.uint8, (20, 24, 3), elements=st.integers(20, 180))


def listed(image: Path, mask: Path | None, name: str = "a") -> Sample:
    digests = [sha256(path) if path is not None and path.is_file() else "" for path in (image, mask)]
    return Sample(name, "train", "s", image, mask, *digests)


def measure(samples: list[Sample], store: Path) -> list[Measurement]:
    return measure_samples(samples, CLASSES, 100.0, store)


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


def test_distance_forgives_recompression() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
    for quality in (90, 50, 20):
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        again = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert distance(image, again) < 0.02  # the strictest limit of the profiles


def test_an_image_of_one_color_is_far_from_all() -> None:
    flat = np.full((32, 32, 3), (10, 90, 200), dtype=np.uint8)
    assert not thumbnail(flat).any()
    assert distance(flat, flat) == 1


def _blur_by_definition(grey: np.ndarray) -> float:
    """Crété's formula, pixel by pixel."""
    picture, values = grey.astype(float), []
    for rows in (picture, picture.T):
        total = left = 0.0
        padded = np.pad(rows, ((5, 5), (0, 0)), mode="symmetric")
        smooth = np.array([[padded[y : y + 11, x].mean() for x in range(rows.shape[1])] for y in range(rows.shape[0])])
        for y in range(1, rows.shape[0]):
            for x in range(rows.shape[1]):
                sharp, soft = abs(rows[y, x] - rows[y - 1, x]), abs(smooth[y, x] - smooth[y - 1, x])
                total += sharp
                left += sharp - max(sharp - soft, 0)
        values.append(left / total if total else 0.0)
    return max(values)


def test_blur_by_definition() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (14, 17), dtype=np.uint8)
    assert blur(grey) == pytest.approx(_blur_by_definition(grey), abs=1e-5)
    assert blur(np.full((9, 9), 7, dtype=np.uint8)) == 0


def test_blur_grows_with_blurring_and_ignores_brightness() -> None:
    grey = np.random.default_rng(0).integers(0, 200, (12, 16), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    values = [blur(grey), *(blur(cv2.GaussianBlur(grey, (0, 0), sigma)) for sigma in (1.0, 2.0, 4.0, 8.0))]
    assert values == sorted(values)
    assert values[0] < 0.35 < 0.7 < values[-1]
    assert blur(grey + 50) == pytest.approx(blur(grey), abs=1e-6)


def _disc(height: int = 96, width: int = 128) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return ((rows - 40) ** 2 + (columns - 70) ** 2 < 25**2).astype(np.uint8)


def test_smooth_borders_are_no_noise_and_frayed_ones_are() -> None:
    disc = _disc()
    assert border_noise(disc) < 0.1
    assert border_noise(np.zeros((9, 9), dtype=np.uint8)) == 0
    random = np.random.default_rng(0)
    frayed = np.where(
        cv2.dilate(disc, np.ones((7, 7))) != cv2.erode(disc, np.ones((7, 7))), random.random(disc.shape) < 0.5, disc
    )
    assert border_noise(frayed.astype(np.uint8)) > 0.3


@given(angle=st.integers(0, 359))
def test_a_straight_border_of_any_slope_is_hardly_noise(angle: int) -> None:
    rows, columns = np.mgrid[:64, :64] - 32
    half = rows * np.sin(np.deg2rad(angle)) > columns * np.cos(np.deg2rad(angle))
    assert border_noise(half.astype(np.uint8)) < 0.05


def _scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A mask of random boxes and an image that shows them, with noise."""
    random = np.random.default_rng(seed)
    mask = np.zeros((192, 256), dtype=np.uint8)
    for _ in range(8):
        top, left = random.integers(0, 150), random.integers(0, 200)
        mask[top : top + random.integers(20, 60), left : left + random.integers(20, 80)] = random.integers(0, 2)
    image = np.stack([60 + 120 * mask] * 3, axis=2) + random.normal(0, 12, (192, 256, 3))
    return np.clip(image, 0, 255).astype(np.uint8), mask


@given(right=st.integers(-14, 14), down=st.integers(-14, 14))
def test_a_shift_is_found_to_the_pixel(right: int, down: int) -> None:
    image, mask = _scene()
    found = align(image, np.roll(mask, (down, right), axis=(0, 1)), KNOWN)
    assert abs(found.right + right) <= 1
    assert abs(found.down + down) <= 1
    assert found.gain >= 1


def test_a_mask_in_its_place_has_nothing_to_gain() -> None:
    found = align(*_scene(3), KNOWN)
    assert (abs(found.right) <= 1, abs(found.down) <= 1) == (True, True)
    assert found.gain < 1.05


def test_a_shift_is_in_pixels_of_the_image() -> None:
    image, mask = (part.repeat(3, axis=0).repeat(3, axis=1) for part in _scene())
    found = align(image, np.roll(mask, 24, axis=1), KNOWN)
    assert abs(found.right + 24) <= 3


def test_borders_with_void_are_not_looked_for_in_the_image() -> None:
    image, mask = _scene()
    assert align(image, np.where(mask == 1, 255, 0).astype(np.uint8), KNOWN) == Alignment()
    assert align(image, np.zeros_like(mask), KNOWN) == Alignment()


def test_measures_image_and_mask(tmp_path: Path) -> None:
    image, mask = draw_image(tmp_path / "a.png", 0), draw_mask(tmp_path / "m.png", 0, 1, 255, 255)
    ((seen, labels, _),) = measure([listed(image, mask)], tmp_path / "store")
    assert isinstance(seen, ImageMeasurement)
    assert isinstance(labels, MaskMeasurement)
    assert seen.size == labels.size == (HEIGHT, WIDTH)
    assert (seen.format, seen.mode, seen.orientation) == ("PNG", "RGB", 1)
    assert seen.contrast == pytest.approx(float(np.asarray(Image.open(image).convert("L")).std()), abs=1)
    assert labels.pixels[[0, 1, 255]].tolist() == [HEIGHT * 8, HEIGHT * 8, HEIGHT * 16]
    assert labels.pixels.sum() == HEIGHT * WIDTH


def test_digests_tell_pixels_and_not_files(tmp_path: Path) -> None:
    mask = draw_mask(tmp_path / "m.png", 0)
    paths = [draw_image(tmp_path / name, seed) for name, seed in (("a.png", 0), ("a.bmp", 0), ("b.png", 1))]
    first, same, other = (
        m.image.digest
        for m in measure([listed(p, mask, p.name) for p in paths], tmp_path / "store")
        if isinstance(m.image, ImageMeasurement)
    )
    assert first == same != other


def test_what_cannot_be_decoded_is_a_problem_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = draw_image(tmp_path / "whole.png", 0)
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "deep.png")
    kinds = {}
    for name in ("broken.jpg", "empty.png", "half.png", "deep.png", "nothing.png"):
        ((image, mask, problems),) = measure([listed(tmp_path / name, tmp_path / name)], tmp_path / "store")
        assert (image, mask, list(problems)) == (None, None, ["image", "mask"])
        assert str(tmp_path) not in problems["image"].sentence
        kinds[name] = problems["image"].kind
    assert kinds == {
        "broken.jpg": "unreadable",
        "empty.png": "unreadable",
        "half.png": "truncated",
        "deep.png": "mode",
        "nothing.png": "unreadable",
    }


def test_a_picture_beyond_the_limit_is_not_decoded(tmp_path: Path) -> None:
    sample = listed(draw_image(tmp_path / "a.png", 0), None)
    ((_, _, problems),) = measure_samples([sample], CLASSES, HEIGHT * WIDTH / 1e6 - 1e-6, tmp_path / "store")
    sentence = f"{WIDTH} x {HEIGHT} pixels are more than {HEIGHT * WIDTH / 1e6 - 1e-6} million"
    assert problems == {"image": Problem("too_large", sentence)}


def test_a_measurement_comes_back_from_bytes(tmp_path: Path) -> None:
    image, mask = draw_image(tmp_path / "a.png", 0), draw_mask(tmp_path / "m.png", 0, 1)
    (tmp_path / "broken.png").write_bytes(b"")
    samples = [listed(image, mask), listed(image, None), listed(tmp_path / "broken.png", mask)]
    for before in measure(samples, tmp_path / "store"):
        after = from_bytes(to_bytes(before))
        assert repr(after) == repr(before)
        if isinstance(before.image, ImageMeasurement):
            assert isinstance(after.image, ImageMeasurement)
            assert np.array_equal(after.image.thumbnail, before.image.thumbnail)


def _same(a: list[Measurement], b: list[Measurement]) -> bool:
    return [to_bytes(m) for m in a] == [to_bytes(m) for m in b]


def test_what_was_measured_is_not_decoded_again(tmp_path: Path) -> None:
    samples = [
        listed(draw_image(tmp_path / f"{i}.png", i), draw_mask(tmp_path / f"{i}_m.png", 0, 1), str(i)) for i in range(4)
    ]
    first = measure(samples, tmp_path / "store")
    for sample in samples:
        sample.image.unlink()  # it could not be decoded again
    assert _same(measure(samples, tmp_path / "store"), first)
    more = [*samples, listed(draw_image(tmp_path / "new.png", 9), None, "new")]
    found = measure(more, tmp_path / "store")
    assert _same(found[:4], first)
    assert isinstance(found[4].image, ImageMeasurement)


def test_content_and_class_table_decide_what_was_measured(tmp_path: Path) -> None:
    image, mask = draw_image(tmp_path / "a.png", 0), draw_mask(tmp_path / "m.png", 0, 1)
    first = measure([listed(image, mask)], tmp_path / "store")
    copy = tmp_path / "elsewhere.png"
    image.rename(copy)
    assert _same(measure([listed(copy, mask, "other name")], tmp_path / "store"), first)
    draw_image(copy, 1)
    assert not _same(measure([listed(copy, mask)], tmp_path / "store"), first)
    other = ClassTable("other", (LabelClass("a", (1, 1, 1), (0,)), LabelClass("b", (2, 2, 2), (7,))), (255,))
    ((_, before, _),) = measure([listed(copy, mask)], tmp_path / "store")
    ((_, after, _),) = measure_samples([listed(copy, mask)], other, 100.0, tmp_path / "store")
    assert isinstance(before, MaskMeasurement)
    assert isinstance(after, MaskMeasurement)
    assert (before.shift == Alignment(), after.shift == Alignment()) == (False, True)


def test_a_file_that_vanished_is_not_remembered(tmp_path: Path) -> None:
    sample = listed(tmp_path / "a.png", None)
    ((image, _, _),) = measure([sample], tmp_path / "store")
    assert image is None
    draw_image(tmp_path / "a.png", 0)
    ((image, _, _),) = measure([sample], tmp_path / "store")
    assert isinstance(image, ImageMeasurement)
