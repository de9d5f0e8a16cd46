"""How an artifact is run, whatever engine it needs."""

import os
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from pipeline.errors import SegdistillError


class UnknownArtifact(SegdistillError):
    """A file that no runner can open."""


class RunnerUnavailable(SegdistillError):
    """A runner that this machine cannot offer; says what is missing."""


class Runner(Protocol):
    """A loaded artifact."""

    name: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def run(self, image: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, 3) RGB to uint8 train ids (n, H, W); host to host, blocks until done."""
        ...


def available_threads() -> int:
    """Cores that this process may use: for work that is not timed."""
    return len(os.sched_getaffinity(0))


def open_runner(artifact: Path, threads: int) -> Runner:
    """Open a checkpoint, an ONNX file or an engine; each engine's package is imported only when it is needed.

    Raises:
        UnknownArtifact: no such file, or a suffix that nobody runs.
        RunnerUnavailable: the engine's package or device is not here.
    """
    if not artifact.is_file():
        raise UnknownArtifact(f"no artifact at {artifact}; run the stage that writes it: dvc repro")
    match artifact.suffix:
        case ".safetensors":
            from pipeline.runtime.torch_runner import TorchRunner

            return TorchRunner(artifact, threads)
        case ".onnx":
            from pipeline.runtime.onnx_runner import OnnxRunner

            return OnnxRunner(artifact, threads)
        case ".engine":
            from pipeline.runtime.tensorrt_runner import TensorRTRunner

            return TensorRTRunner(artifact)
    raise UnknownArtifact(f"{artifact}: no runner for {artifact.suffix!r}; known are .safetensors, .onnx, .engine")
