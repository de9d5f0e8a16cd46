"""A loaded model of any runtime, and the check of its input."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from segdistill_runtime.errors import FileRefused, InputRefused


class InputShape(NamedTuple):
    """Size of the images that a graph takes in one call."""

    batch: int
    height: int  # pixels
    width: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.height}x{self.width}"


class Runner(ABC):
    """A loaded model; as a context manager, it frees its memory at the end."""

    name: str  # of the runtime
    provider: str  # the runtime's execution provider, or a device
    shape: tuple[int, ...] | None = None  # (n, H, W, 3) of one call; None takes any

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, images: np.ndarray) -> np.ndarray:
        """Turn uint8 (n, H, W, 3) RGB into uint8 train ids (n, H, W), host to host; blocks until done.

        Several batches of a graph run one after the other. Raises InputRefused for images that the graph does not take.
        """
        return np.concatenate([self.run_batch(part) for part in self._batches(images)])

    def prepared(self, images: np.ndarray) -> Callable[[], object]:
        """Return a function that only computes: it runs exactly one batch, blocks until done, and copies nothing.

        The images are already where the device reads them. The labels stay where the device writes them, in the
        runtime's own form.
        """
        batches = self._batches(images)
        if len(batches) != 1:
            raise InputRefused(f"got {len(images)} images for one call, but the graph takes {len(batches[0])}")
        return self.prepare(batches[0])

    def _batches(self, images: np.ndarray) -> list[np.ndarray]:
        require_images(images, self.shape and self.shape[1:3])
        size = self.shape[0] if self.shape else len(images)
        if len(images) % size:
            raise InputRefused(f"got {len(images)} images, but the graph has batches of {size}; give a multiple")
        return [np.ascontiguousarray(images[first : first + size]) for first in range(0, len(images), size)]

    @abstractmethod
    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """Run one checked batch."""

    @abstractmethod
    def prepare(self, images: np.ndarray) -> Callable[[], object]:
        """Return the function of `prepared` for one checked batch."""

    @abstractmethod
    def close(self) -> None:
        """Free the memory."""


def input_shape(file: str, inputs: Sequence[tuple[str, str, Sequence[object]]]) -> tuple[int, ...]:
    """Return (n, H, W, 3) of a graph; raises FileRefused unless its only input is `image` of uint8.

    Args:
        inputs: name, type and shape of each input.
    """
    if len(inputs) == 1:
        name, kind, shape = inputs[0]
        fixed = tuple(length for length in shape if isinstance(length, int))
        if (name, kind) == ("image", "uint8") and len(shape) == len(fixed) == 4 and fixed[3] == 3:
            return fixed
    found = ", ".join(f"{name} {kind} {list(shape)}" for name, kind, shape in inputs) or "nothing"
    raise FileRefused(f"{file} takes {found}; it must take image uint8 [n, height, width, 3] of a fixed shape")


def require_images(images: np.ndarray, size: Sequence[int] | None) -> None:
    """Raise InputRefused unless the images are uint8 (n, H, W, 3) with n of at least 1.

    A runtime would silently convert or broadcast other arrays.

    Args:
        size: (H, W) in pixels; None allows any.
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
            f"the images have {shape[1]}x{shape[2]} pixels, but the graph takes {size[0]}x{size[1]}; "
            f"resize them, for example with segdistill_runtime/images.py"
        )
