"""A loaded model, whatever runtime it needs, and the one check of what goes into it."""

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
    """A loaded model; a context manager that gives its memory back."""

    name: str  # of the runtime
    provider: str  # what computes: an execution provider of the runtime, or a device
    shape: tuple[int, ...] | None = None  # (n, H, W, 3) of one call; None takes any

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, images: np.ndarray) -> np.ndarray:
        """Turn uint8 (n, H, W, 3) RGB into uint8 train ids (n, H, W), host to host; blocks until done.

        Several batches of a graph run one after the other. InputRefused says what does not fit.
        """
        return np.concatenate([self.run_batch(part) for part in self._batches(images)])

    def prepared(self, images: np.ndarray) -> Callable[[], object]:
        """Return one call of the computation alone for exactly one batch: it blocks until done, and copies nothing.

        The images lie where the device reads them, and the labels stay where the device writes them, in the runtime's
        own form.
        """
        batches = self._batches(images)
        if len(batches) != 1:
            raise InputRefused(f"{len(images)} images for one call of a graph with batches of {len(batches[0])}")
        return self.prepare(batches[0])

    def _batches(self, images: np.ndarray) -> list[np.ndarray]:
        require_images(images, self.shape and self.shape[1:3])
        size = self.shape[0] if self.shape else len(images)
        if len(images) % size:
            raise InputRefused(f"{len(images)} images for a graph with batches of {size}; give a multiple of it")
        return [np.ascontiguousarray(images[first : first + size]) for first in range(0, len(images), size)]

    @abstractmethod
    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """Run one batch that was checked."""

    @abstractmethod
    def prepare(self, images: np.ndarray) -> Callable[[], object]:
        """Return the call of `prepared` for one batch that was checked."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""


def input_shape(file: str, inputs: Sequence[tuple[str, str, Sequence[object]]]) -> tuple[int, ...]:
    """Return (n, H, W, 3) of a graph, given name, type and shape of each input; it must be one `image` of uint8."""
    if len(inputs) == 1:
        name, kind, shape = inputs[0]
        fixed = tuple(length for length in shape if isinstance(length, int))
        if (name, kind) == ("image", "uint8") and len(shape) == len(fixed) == 4 and fixed[3] == 3:
            return fixed
    found = ", ".join(f"{name} {kind} {list(shape)}" for name, kind, shape in inputs) or "nothing"
    raise FileRefused(f"{file} takes {found}; it must take image uint8 [n, height, width, 3] of a fixed shape")


def require_images(images: np.ndarray, size: Sequence[int] | None) -> None:
    """Refuse what a runtime would convert or broadcast silently: all but uint8 (n, H, W, 3) with n of at least 1.

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
            f"the images have {shape[1]}x{shape[2]} pixels, the graph takes {size[0]}x{size[1]}; "
            f"resize them (segdistill_runtime/images.py does)"
        )
