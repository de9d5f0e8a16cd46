"""How an artifact is run, whatever engine it needs."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np

from pipeline.errors import SegdistillError

RUNTIMES: dict[str, tuple[str, ...]] = {
    ".safetensors": ("pytorch_eager", "pytorch_compiled"),
    ".onnx": ("onnxruntime", "onnxruntime_cuda", "openvino"),
    ".engine": ("tensorrt", "tensorrt_rtx"),
}
"""Who can run a file, by its suffix; the first is asked where nobody is named. An engine says itself whose it is."""


class UnknownArtifact(SegdistillError):
    """A file that no runner can open."""


class RunnerUnavailable(SegdistillError):
    """A runner that this machine cannot offer; says what is missing."""


class WrongInput(SegdistillError):
    """An array that is not what an artifact takes."""


class InputShape(NamedTuple):
    """Of the images that a graph takes in one call."""

    batch: int
    height: int  # pixels
    width: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.height}x{self.width}"


class Runner(Protocol):
    """A loaded artifact."""

    name: str
    provider: str  # what computes: an execution provider of the runtime, or a device

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def run(self, image: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, 3) RGB to uint8 train ids (n, H, W); host to host, blocks until done.

        A graph of a fixed batch size takes several batches and runs them one after the other.

        Raises:
            WrongInput: another type, layout or size, or no multiple of the batch size.
        """
        ...

    def prepared(self, image: np.ndarray) -> Callable[[], object]:
        """One call of the computation alone, for one batch: blocks until done, and copies nothing.

        The image lies where the device reads it, and the labels stay where the device writes them; a call returns them
        in the runtime's own form.

        Raises:
            WrongInput: as `run`, or several batches.
        """
        ...


def available_threads() -> int:
    """Cores that this process may use: for work that is not timed."""
    return len(os.sched_getaffinity(0))


def open_runner(artifact: Path, threads: int, runtime: str | None = None) -> Runner:
    """Open a checkpoint, an ONNX file or an engine; each engine's package is imported only when it is needed.

    Args:
        runtime: one of RUNTIMES for this kind of file; None is the first of them.

    Raises:
        UnknownArtifact: no such file, damaged, or not one for this runtime.
        RunnerUnavailable: the engine's package or device is not here.
    """
    if not artifact.is_file():
        raise UnknownArtifact(f"no artifact at {artifact}; run the stage that writes it: dvc repro")
    known = RUNTIMES.get(artifact.suffix)
    if known is None:
        raise UnknownArtifact(f"{artifact}: no runner for {artifact.suffix!r}; known are {', '.join(RUNTIMES)}")
    runtime = runtime or known[0]
    if runtime not in known:
        raise UnknownArtifact(f"{artifact}: {runtime} does not run {artifact.suffix} files; {', '.join(known)} do")
    match runtime:
        case "pytorch_eager":
            from pipeline.runtime.torch_runner import TorchRunner

            return TorchRunner(artifact, threads)
        case "pytorch_compiled":
            from pipeline.runtime.torch_runner import CompiledTorchRunner

            return CompiledTorchRunner(artifact, threads)
        case "openvino":
            from pipeline.runtime.openvino_runner import OpenVinoRunner

            return OpenVinoRunner(artifact, threads)
        case "onnxruntime" | "onnxruntime_cuda":
            from pipeline.runtime.onnx_runner import OnnxRunner

            return OnnxRunner(artifact, threads, runtime)
        case _:
            from pipeline.runtime.tensorrt_runner import TensorRTRunner

            return TensorRTRunner(artifact)


def input_shape(graph: Path, inputs: Sequence[tuple[str, str, Sequence[object]]]) -> tuple[int, ...]:
    """(n, H, W, 3) of a graph's one input, from the name, type and shape of each that it has.

    Raises:
        UnknownArtifact: they are not one `image` of uint8 and of a fixed shape.
    """
    if len(inputs) == 1:
        name, kind, shape = inputs[0]
        fixed = tuple(length for length in shape if isinstance(length, int))
        if (name, kind, len(fixed)) == ("image", "uint8", len(shape)) and len(shape) == 4 and shape[3] == 3:
            return fixed
    found = ", ".join(f"{name} {kind} {list(shape)}" for name, kind, shape in inputs) or "nothing"
    raise UnknownArtifact(
        f"{graph} takes {found}; a graph of this project takes image uint8 [n, height, width, 3] of a fixed shape"
    )


def batches(image: np.ndarray, shape: Sequence[int]) -> Iterator[np.ndarray]:
    """Cut images into the batches that a graph of the fixed input `shape` (n, H, W, 3) takes.

    Raises:
        WrongInput: another type, layout or size, or a number of images that is no multiple of n.
    """
    require_image(image, shape[1:3])
    if len(image) % shape[0]:
        raise WrongInput(f"{len(image)} images for a graph with batches of {shape[0]}; give a multiple of {shape[0]}")
    for first in range(0, len(image), shape[0]):
        yield image[first : first + shape[0]]


def one_batch(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """`image` if it is what a graph of the fixed input `shape` takes in one call.

    Raises:
        WrongInput: it is not.
    """
    require_image(image, shape[1:3])
    if len(image) != shape[0]:
        raise WrongInput(f"{len(image)} images for one call of a graph with batches of {shape[0]}")
    return image


def require_image(image: np.ndarray, size: Sequence[int] | None) -> None:
    """Refuse what a runtime would convert or broadcast without a word.

    Args:
        size: (H, W) in pixels; None allows any.

    Raises:
        WrongInput: not uint8 (n, H, W, 3) with n of at least 1, or of another size.
    """
    if image.dtype != np.uint8:
        raise WrongInput(f"the image is {image.dtype}; artifacts take uint8, 0 to 255, and normalize it themselves")
    if image.ndim != 4 or image.shape[-1] != 3 or 0 in image.shape:
        hint = "; put the colors last" if image.ndim == 4 and image.shape[1] == 3 else ""
        raise WrongInput(f"the image has shape {image.shape}; artifacts take (n, height, width, 3), RGB{hint}")
    if size is not None and image.shape[1:3] != tuple(size):
        raise WrongInput(
            f"the image has {image.shape[1]}x{image.shape[2]} pixels, the artifact takes {size[0]}x{size[1]}; resize it"
        )
