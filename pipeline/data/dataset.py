"""Batch whole images for evaluation; each image comes once."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.data.images import read_image
from pipeline.data.samples import Sample


class Batch(NamedTuple):
    image: UInt8[Tensor, "n 3 H W"]  # RGB
    ids: list[str]


def network_input(image: UInt8[Tensor, "n 3 H W"]) -> Float[Tensor, "n 3 H W"]:
    """Return RGB in 0..1, in channels-last memory format."""
    return image.float().div_(255).contiguous(memory_format=torch.channels_last)


def evaluation_batches(samples: Sequence[Sample], batch_size: int) -> Iterator[Batch]:
    """Yield whole images in list order; a batch ends early if the next image has another size."""
    pending: list[tuple[np.ndarray, str]] = []
    for sample in samples:
        image = read_image(sample.image, sample.image_sha256)
        if pending and (len(pending) == batch_size or pending[0][0].shape != image.shape):
            yield Batch(*stacked(pending))
            pending = []
        pending.append((image, sample.id))
    if pending:
        yield Batch(*stacked(pending))


def stacked(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Turn rows of (image, further arrays, id) into columns; the channels of images come first, as in PyTorch."""
    *columns, ids = zip(*rows, strict=True)
    images, *others = (torch.from_numpy(np.stack(column)) for column in columns)
    return [images.permute(0, 3, 1, 2), *others, list(ids)]
