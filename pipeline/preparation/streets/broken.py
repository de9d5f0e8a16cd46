"""Write samples with known defects, for curation to find."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.data.files import replacing
from pipeline.data.images import read_image
from pipeline.preparation.adapter import RawSample
from pipeline.preparation.streets.canvas import Label
from pipeline.preparation.streets.street import Street

UNKNOWN_RAW_ID = 77  # in no class table


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) RGB or (H, W) uint8 pixels: the same bytes for the same pixels."""
    ordered = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    # The level is fixed because it changes the bytes, and low because noise hardly compresses.
    return cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def write_sample(sample: RawSample, image: np.ndarray | bytes, mask: np.ndarray | bytes) -> RawSample:
    """Write the files of a sample atomically, pixels as PNG."""
    for path, content in ((sample.image, image), (sample.mask, mask)):
        if path is not None:
            with replacing(path) as temporary:
                temporary.write_bytes(content if isinstance(content, bytes) else encode_png(content))
    return sample


def write_broken_samples(good: Sequence[RawSample], height: int, width: int, folder: Path) -> list[RawSample]:
    """Write one sample for each defect, named after it, below `folder`.

    Each defect of a single file gets its own street, so that the sample has no other defect. Copies are of different
    train samples in `good`, whose files exist already.
    """
    train = [(sample.image, sample.mask) for sample in good if sample.split == "train" and sample.mask is not None]
    first, second, third = (train[i * len(train) // 3] for i in range(3))
    near = read_image(third[0])  # like another export of the same video: brighter, other noise
    near = 1.06 * near + 3 + np.random.default_rng(0).normal(0, 2.5, near.shape)
    streets = (Street("broken", number).frame(0, height, width) for number in range(len(_FILE_DEFECTS)))
    contents = {
        **{f"train_broken_{name}": spoil(*next(streets)) for name, spoil in _FILE_DEFECTS.items()},
        "train_broken_duplicate_of_train": tuple(path.read_bytes() for path in first),
        "val_broken_copy_of_train": tuple(path.read_bytes() for path in second),
        "test_broken_near_copy_of_train": (np.clip(np.round(near), 0, 255).astype(np.uint8), third[1].read_bytes()),
    }
    written = []
    for name, pair in contents.items():
        files = folder / f"images/{name}.png", folder / f"raw_masks/{name}.png"
        written.append(write_sample(RawSample(name, name.partition("_")[0], name, *files), *pair))
    return written


def _frayed(mask: np.ndarray) -> np.ndarray:
    """Fray all borders: replace every pixel by a random one at most two rows and columns away."""
    rows, columns = np.indices(mask.shape) + np.random.default_rng(0).integers(-2, 3, (2, *mask.shape))
    return mask[np.clip(rows, 0, len(mask) - 1), np.clip(columns, 0, mask.shape[1] - 1)]


# By the defect's name, a function that spoils image and mask: it returns them as pixels, or as the bytes of a file
_FILE_DEFECTS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray | bytes, np.ndarray | bytes]]] = {
    "truncated_image": lambda image, mask: (encode_png(image)[: len(encode_png(image)) // 2], mask),
    "empty_image": lambda image, mask: (b"", mask),
    "unreadable_mask": lambda image, mask: (image, b"this is not a picture\n" * 40),
    "mask_of_other_size": lambda image, mask: (image, mask[:, ::2]),
    "unknown_ids": lambda image, mask: (image, np.where(mask == Label.SKY, UNKNOWN_RAW_ID, mask).astype(np.uint8)),
    "nothing_labelled": lambda image, mask: (image, np.full_like(mask, Label.VOID)),
    "shifted_mask": lambda image, mask: (image, np.roll(mask, (len(mask) // 16, mask.shape[1] // 16), axis=(0, 1))),
    "frayed_mask": lambda image, mask: (image, _frayed(mask)),
    "blank_image": lambda image, mask: (np.full_like(image, 120), mask),
    "overexposed_image": lambda image, mask: (np.clip(image.astype(int) * 4 + 120, 0, 255).astype(np.uint8), mask),
    "blurred_image": lambda image, mask: (cv2.GaussianBlur(image, (0, 0), image.shape[1] / 48), mask),
}
