"""Defective samples on purpose, so that curation has something to find."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.preparation.adapter import RawSample
from pipeline.preparation.streets.png import decode_png, encode_png, write_bytes
from pipeline.preparation.streets.sequences import sequence_frame, sequence_world
from pipeline.preparation.streets.street_classes import VOID

UNKNOWN_RAW_ID = 77
"""In no class table."""

_GARBAGE = b"this is not a picture\n" * 40


def write_broken_samples(
    good: Sequence[RawSample], seed: int, height: int, width: int, images: Path, masks: Path
) -> list[RawSample]:
    """Write one sample for each defect, named after it.

    Defects of a single file come with a street of their own, so that nothing else is wrong with them; copies are
    made of different train samples among `good`.

    Args:
        good: samples that lie on disk already, those of train among them.
        seed: of the whole dataset.
        height: pixels.
        width: pixels.
        images: folder for images.
        masks: folder for masks.

    Raises:
        DiskFull: no space left.
    """
    written: list[RawSample] = []

    def write(split: str, defect: str, image: bytes, mask: bytes) -> None:
        name = f"{split}_broken_{defect}"
        image_file, mask_file = images / f"{name}.png", masks / f"{name}.png"
        write_bytes(image_file, image)
        write_bytes(mask_file, mask)
        written.append(RawSample(name, split, name, image_file, mask_file))

    for sequence, defect in enumerate(_FILE_DEFECTS):
        world = sequence_world(seed, "broken", sequence)
        write(
            "train", defect, *_FILE_DEFECTS[defect](*sequence_frame(world, seed, "broken", sequence, 0, height, width))
        )
    train = [(sample.image, sample.mask) for sample in good if sample.split == "train" and sample.mask is not None]
    (first, first_mask), (second, second_mask), (third, third_mask) = (train[i * len(train) // 3] for i in range(3))
    write("train", "duplicate_of_train", first.read_bytes(), first_mask.read_bytes())
    write("val", "copy_of_train", second.read_bytes(), second_mask.read_bytes())
    write("test", "near_copy_of_train", _brightened(third), third_mask.read_bytes())
    return written


def _truncated_image(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    data = encode_png(image)
    return data[: len(data) // 2], encode_png(mask)


def _empty_image(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return b"", encode_png(mask)


def _unreadable_mask(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return encode_png(image), _GARBAGE


def _mask_of_other_size(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    height, width = mask.shape
    return encode_png(image), encode_png(cv2.resize(mask, (width // 2, height), interpolation=cv2.INTER_NEAREST))


def _unknown_ids(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    height, width = mask.shape
    changed = mask.copy()
    changed[height // 3 : height // 2, width // 3 : width // 2] = UNKNOWN_RAW_ID
    return encode_png(image), encode_png(changed)


def _nothing_labelled(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return encode_png(image), encode_png(np.full_like(mask, VOID))


def _shifted_mask(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return encode_png(image), encode_png(np.roll(mask, (mask.shape[0] // 16, mask.shape[1] // 16), axis=(0, 1)))


def _frayed_mask(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    """As if drawn with a trembling hand: every pixel is one of those up to two rows and columns away."""
    height, width = mask.shape
    moves = np.random.default_rng(0).integers(-2, 3, (2, height, width))
    rows, columns = np.clip(np.indices(mask.shape) + moves, 0, np.array([height - 1, width - 1])[:, None, None])
    return encode_png(image), encode_png(mask[rows, columns])


def _blank_image(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return encode_png(np.full_like(image, 120)), encode_png(mask)


def _overexposed_image(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return encode_png(np.clip(image.astype(int) * 3 + 60, 0, 255).astype(np.uint8)), encode_png(mask)


def _blurred_image(image: np.ndarray, mask: np.ndarray) -> tuple[bytes, bytes]:
    return encode_png(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 48)), encode_png(mask)


_FILE_DEFECTS = {
    "truncated_image": _truncated_image,
    "empty_image": _empty_image,
    "unreadable_mask": _unreadable_mask,
    "mask_of_other_size": _mask_of_other_size,
    "unknown_ids": _unknown_ids,
    "nothing_labelled": _nothing_labelled,
    "shifted_mask": _shifted_mask,
    "frayed_mask": _frayed_mask,
    "blank_image": _blank_image,
    "overexposed_image": _overexposed_image,
    "blurred_image": _blurred_image,
}


def _brightened(path: Path) -> bytes:
    """The picture as another export of the same video would have it: a little brighter, other noise."""
    image = decode_png(path)
    ripple = np.random.default_rng(0).normal(0, 2.5, image.shape)
    return encode_png(np.clip(np.round(1.06 * image + 3 + ripple), 0, 255).astype(np.uint8))
