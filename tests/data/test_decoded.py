"""Pairs kept decoded: the same pixels, within the limit, never out of date, and no harm where the disk is bad."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.decoded import DecodedPairs
from pipeline.data.files import sha256
from pipeline.data.images import ImageError, read_image, read_labels
from pipeline.data.samples import Sample, read_samples
from tests.raising import raises, warns
from tests.toy import TOY_CLASSES, write_toy_samples

ONE = 48 * 64 * 4 + 128


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return read_samples(write_toy_samples(tmp_path / "toy"))


def _assert_same(pairs: DecodedPairs, samples: list[Sample]) -> None:
    for sample in samples:
        image, mask = pairs.read(sample)
        assert np.array_equal(image, read_image(sample.image))
        assert np.array_equal(mask, read_labels(sample, TOY_CLASSES))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_the_second_reading_decodes_nothing(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20)
    _assert_same(pairs, samples)
    monkeypatch.setattr(DecodedPairs, "_decoded", lambda _, sample: pytest.fail(f"{sample.id} was decoded again"))
    _assert_same(pairs, samples)
    _assert_same(DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20), samples)


@pytest.mark.parametrize("kept", [0, 3, 8])
def test_the_limit_is_kept(samples: list[Sample], tmp_path: Path, kept: int) -> None:
    pairs = DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, kept * ONE + 100)
    _assert_same(pairs, samples)
    assert (_size(tmp_path / "decoded") if kept else 0) == kept * ONE


def test_what_others_left_makes_room(samples: list[Sample], tmp_path: Path) -> None:
    first = DecodedPairs(tmp_path / "decoded", samples[:4], TOY_CLASSES, 5 * ONE)
    _assert_same(first, samples[:4])
    second = DecodedPairs(tmp_path / "decoded", samples[4:7], TOY_CLASSES, 5 * ONE)
    _assert_same(second, samples[4:7])
    assert _size(tmp_path / "decoded") == 5 * ONE
    _assert_same(first, samples)


def _replace(image: Path) -> None:
    """Other pixels under the same name, with the same times."""
    before = image.stat()
    Image.fromarray(255 - read_image(image)).save(image)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_image_that_was_listed_anew_is_not_the_old_one(samples: list[Sample], tmp_path: Path) -> None:
    _assert_same(DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20), samples)
    _replace(samples[0].image)
    samples[0] = samples[0]._replace(image_sha256=sha256(samples[0].image))
    _assert_same(DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20), samples)


def test_what_is_read_is_what_was_listed_whatever_lies_there_now(samples: list[Sample], tmp_path: Path) -> None:
    listed = read_image(samples[0].image)
    DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20).read(samples[0])
    _replace(samples[0].image)
    kept, *_ = DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20).read(samples[0])
    assert np.array_equal(kept, listed)
    for limit in (0, 2**20):
        with raises(ImageError, samples[0].image, samples[0].image_sha256[:12], "dvc repro"):
            DecodedPairs(tmp_path / "other", samples, TOY_CLASSES, limit).read(samples[0])
    assert not list(tmp_path.glob("other/*"))


def test_what_no_list_names_is_not_kept(samples: list[Sample], tmp_path: Path) -> None:
    unnamed = [sample._replace(mask_sha256="") for sample in samples]
    _assert_same(DecodedPairs(tmp_path / "decoded", unnamed, TOY_CLASSES, 2**20), unnamed)
    assert not (tmp_path / "decoded").exists()


def test_a_damaged_file_is_decoded_again(samples: list[Sample], tmp_path: Path) -> None:
    pairs = DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20)
    _assert_same(pairs, samples)
    for path, content in zip((tmp_path / "decoded").iterdir(), (b"", b"\x93NUMPY", b"x" * 300), strict=False):
        path.write_bytes(content)
    _assert_same(pairs, samples)


def test_a_folder_that_cannot_be_written_is_named_and_does_without(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "decoded").write_text("a file")
    pairs = DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20)
    with warns(UserWarning, tmp_path / "decoded"):
        pairs.read(samples[0])
    _assert_same(pairs, samples)


def test_missing_files_are_named(samples: list[Sample], tmp_path: Path) -> None:
    Path(str(samples[1].mask)).unlink()
    with raises(ImageError, "toy_1", samples[1].mask):
        DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20)
    samples[0].image.write_bytes(b"no image")
    with raises(ImageError, samples[0].image):
        DecodedPairs(tmp_path / "decoded", samples, TOY_CLASSES, 2**20)
