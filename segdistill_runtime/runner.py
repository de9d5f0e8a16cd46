"""A loaded model, whatever runtime it needs, and the one check of what goes into it.

numpy is imported where it is needed: building engines ahead of time works without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from segdistill_runtime.errors import FileRefused, InputRefused

if TYPE_CHECKING:
    import numpy as np


class InputShape(NamedTuple):
    """Size of the images that a graph takes in one call."""

    batch: int
    height: int  # pixels
    width: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.height}x{self.width}"


class Runner:
    """A loaded model; a context manager that gives its memory back."""

    name: str  # of the runtime
    provider: str  # what computes: an execution provider of the runtime, or a device
    shape: tuple[int, ...]  # (n, H, W, 3) of one call

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, images: np.ndarray) -> np.ndarray:
        """Turn uint8 (n, H, W, 3) RGB into uint8 train ids (n, H, W), host to host; blocks until done.

        Several batches of a graph run one after the other.

        Raises:
            InputRefused: another type, layout or size, or no multiple of the batch size.
        """
        import numpy as np

        return np.concatenate([self.run_batch(part) for part in batches(images, self.shape)])

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """Run one batch that was checked."""
        raise NotImplementedError

    def prepared(self, images: np.ndarray) -> Callable[[], object]:
        """Return one call of the computation alone for one batch: it blocks until done, and copies nothing.

        The images lie where the device reads them, and the labels stay where the device writes them, in the runtime's
        own form.

        Raises:
            InputRefused: as `run`, or not exactly one batch.
        """
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def input_shape(file: str, inputs: Sequence[tuple[str, str, Sequence[object]]]) -> tuple[int, ...]:
    """Return (n, H, W, 3) of a graph's one input, from the name, type and shape of each input.

    Raises:
        FileRefused: they are not one `image` of uint8 and of a fixed shape.
    """
    if len(inputs) == 1:
        name, kind, shape = inputs[0]
        fixed = tuple(length for length in shape if isinstance(length, int))
        if (name, kind, len(fixed)) == ("image", "uint8", len(shape)) and len(shape) == 4 and shape[3] == 3:
            return fixed
    found = ", ".join(f"{name} {kind} {list(shape)}" for name, kind, shape in inputs) or "nothing"
    raise FileRefused(f"{file} takes {found}; it must take image uint8 [n, height, width, 3] of a fixed shape")


def batches(images: np.ndarray, shape: Sequence[int]) -> Iterator[np.ndarray]:
    """Cut images into the batches that a graph of the fixed input `shape` (n, H, W, 3) takes.

    Raises:
        InputRefused: another type, layout or size, or a number of images that is no multiple of n.
    """
    import numpy as np

    require_images(images, shape[1:3])
    if len(images) % shape[0]:
        raise InputRefused(f"{len(images)} images for a graph with batches of {shape[0]}; give a multiple of it")
    for first in range(0, len(images), shape[0]):
        yield np.ascontiguousarray(images[first : first + shape[0]])


def one_batch(images: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the images if they are what a graph of the fixed input `shape` takes in one call.

    Raises:
        InputRefused: they are not.
    """
    parts = list(batches(images, shape))
    if len(parts) != 1:
        raise InputRefused(f"{len(images)} images for one call of a graph with batches of {shape[0]}")
    return parts[0]


def require_images(images: np.ndarray, size: Sequence[int] | None) -> None:
    """Refuse what a runtime would convert or broadcast silently.

    Args:
        size: (H, W) in pixels; None allows any.

    Raises:
        InputRefused: not uint8 (n, H, W, 3) with n of at least 1, or of another size.
    """
    kind = getattr(images, "dtype", type(images).__name__)
    if kind != "uint8":
        raise InputRefused(f"the images are {kind}; the graph takes uint8, 0 to 255, and normalizes them itself")
    shape = images.shape
    if len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        hint = ": the channels are first (NCHW), put them last" if len(shape) == 4 and shape[1] == 3 else ""
        raise InputRefused(f"the images have shape {shape}; the graph takes (n, height, width, 3), RGB{hint}")
    if size is not None and shape[1:3] != tuple(size):
        raise InputRefused(
            f"the images have {shape[1]}x{shape[2]} pixels, the graph takes {size[0]}x{size[1]}; "
            f"resize them (segdistill_runtime/images.py does)"
        )
