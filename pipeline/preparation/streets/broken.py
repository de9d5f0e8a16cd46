"""Defective samples on purpose, so that curation has something to find."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.data.files import replacing
from pipeline.data.images import read_image
from pipeline.preparation.adapter import RawSample
from pipeline.preparation.streets.street import Street
from pipeline.preparation.streets.street_classes import VOID

UNKNOWN_RAW_ID = 77
"""In no class table."""


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) RGB or (H, W) uint8 pixels: the same bytes for the same pixels."""
    ordered = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    # The level is fixed, for it changes the bytes; and low, for noise does not get smaller.
    return cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def write_sample(sample: RawSample, image: bytes, mask: bytes) -> RawSample:
    """Write the files of a sample, each whole or not at all."""
    for path, content in ((sample.image, image), (sample.mask, mask)):
        if path is not None:
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    return sample


def write_broken_samples(good: Sequence[RawSample], height: int, width: int, folder: Path) -> list[RawSample]:
    """Write one sample for each defect, named after it, below `folder`.

    Defects of a single file come with a street of their own, so that nothing else is wrong with them; copies are made
    of different train samples among `good`, which lie on disk already.
    """

    def write(split: str, defect: str, image: bytes, mask: bytes) -> RawSample:
        name = f"{split}_broken_{defect}"
        files = folder / f"images/{name}.png", folder / f"raw_masks/{name}.png"
        return write_sample(RawSample(name, split, name, *files), image, mask)

    written: list[RawSample] = []
    for number, (defect, spoil) in enumerate(_FILE_DEFECTS.items()):
        image, mask = spoil(*Street("broken", number).frame(0, height, width))
        files = (part if isinstance(part, bytes) else encode_png(part) for part in (image, mask))
        written.append(write("train", defect, *files))
    train = [(sample.image, sample.mask) for sample in good if sample.split == "train" and sample.mask is not None]
    (first, first_mask), (second, second_mask), (third, third_mask) = (train[i * len(train) // 3] for i in range(3))
    return [
        *written,
        write("train", "duplicate_of_train", first.read_bytes(), first_mask.read_bytes()),
        write("val", "copy_of_train", second.read_bytes(), second_mask.read_bytes()),
        write("test", "near_copy_of_train", encode_png(_exported_again(read_image(third))), third_mask.read_bytes()),
    ]


def _exported_again(image: np.ndarray) -> np.ndarray:
    """The picture as another export of the same video would have it: a little brighter, other noise."""
    noise = np.random.default_rng(0).normal(0, 2.5, image.shape)
    return np.clip(np.round(1.06 * image + 3 + noise), 0, 255).astype(np.uint8)


def _with_unknown_ids(mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    mask[height // 3 : height // 2, width // 3 : width // 2] = UNKNOWN_RAW_ID
    return mask


def _frayed(mask: np.ndarray) -> np.ndarray:
    """As if drawn with a trembling hand: every pixel is one of those up to two rows and columns away."""
    rows, columns = np.indices(mask.shape) + np.random.default_rng(0).integers(-2, 3, (2, *mask.shape))
    return mask[np.clip(rows, 0, len(mask) - 1), np.clip(columns, 0, mask.shape[1] - 1)]


_FILE_DEFECTS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray | bytes, np.ndarray | bytes]]] = {
    "truncated_image": lambda image, mask: (encode_png(image)[: len(encode_png(image)) // 2], mask),
    "empty_image": lambda image, mask: (b"", mask),
    "unreadable_mask": lambda image, mask: (image, b"this is not a picture\n" * 40),
    "mask_of_other_size": lambda image, mask: (image, mask[:, ::2]),
    "unknown_ids": lambda image, mask: (image, _with_unknown_ids(mask)),
    "nothing_labelled": lambda image, mask: (image, np.full_like(mask, VOID)),
    "shifted_mask": lambda image, mask: (image, np.roll(mask, (len(mask) // 16, mask.shape[1] // 16), axis=(0, 1))),
    "frayed_mask": lambda image, mask: (image, _frayed(mask)),
    "blank_image": lambda image, mask: (np.full_like(image, 120), mask),
    "overexposed_image": lambda image, mask: (np.clip(image.astype(int) * 4 + 120, 0, 255).astype(np.uint8), mask),
    "blurred_image": lambda image, mask: (cv2.GaussianBlur(image, (0, 0), image.shape[1] / 48), mask),
}
"""What is wrong with a file by the defect's name: image and mask as pixels, or as the bytes of a file."""
