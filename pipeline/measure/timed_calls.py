"""Where a measurement begins and ends: the same call, with more and more of its surroundings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.data.images import read_image
from pipeline.deploy.bundle.runner.images import resize
from pipeline.runtime import InputShape, Runner

Call = Callable[[int], object]
"""The i-th call; each takes the next images."""


def calls_at_boundaries(runner: Runner, images: list[Path], shape: InputShape) -> dict[str, Call]:
    """A call for each boundary, from the narrowest to the widest.

    `device_compute`: the image lies where the device reads it, and the labels stay there. `with_copies`: from an array
    of the graph's size on the host to labels on the host. `image_to_labels`: from decoded images of their own sizes.
    `file_to_labels`: from files.
    """
    decoded = [read_image(path) for path in images]
    ready = [batch_of([decoded[j] for j in _turn(i, shape.batch, len(images))], shape) for i in range(len(images))]
    prepared = runner.prepared(ready[0])

    def compute(_: int) -> object:
        return prepared()

    def with_copies(i: int) -> object:
        return runner.run(ready[i % len(ready)])

    def from_images(i: int) -> object:
        return runner.run(batch_of([decoded[j] for j in _turn(i, shape.batch, len(images))], shape))

    def from_files(i: int) -> object:
        return runner.run(batch_of([read_image(images[j]) for j in _turn(i, shape.batch, len(images))], shape))

    return {
        "device_compute": compute,
        "with_copies": with_copies,
        "image_to_labels": from_images,
        "file_to_labels": from_files,
    }


def _turn(call: int, batch: int, images: int) -> list[int]:
    """The images of one call, over and over again in their order."""
    return [(call * batch + k) % images for k in range(batch)]


def batch_of(images: list[np.ndarray], shape: InputShape) -> np.ndarray:
    """uint8 (n, H, W, 3); an image of the right size is not resized."""
    return np.stack([resize(image, shape.height, shape.width) for image in images])
