"""Run an ONNX file with ONNX Runtime, which is imported nowhere else."""

from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime

from pipeline.runtime import RunnerUnavailable, UnknownArtifact


class OnnxRunner:
    """CPU execution; asks for the provider by name and makes sure that it got it."""

    name = "onnxruntime"

    def __init__(self, graph: Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        provider = "CPUExecutionProvider"
        try:
            self.session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        except Exception as error:  # the runtime's own exceptions share no public base class
            raise UnknownArtifact(f"{graph} is no ONNX file that ONNX Runtime can load: {error}") from error
        if self.session.get_providers() != [provider]:  # it falls back silently
            raise RunnerUnavailable(f"asked for {provider}, ONNX Runtime gave {self.session.get_providers()}")
        self.output = self.session.get_outputs()[0].name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.session

    def run(self, image: np.ndarray) -> np.ndarray:
        """The graph's one output; its batch size is 1, so images go one after the other."""
        return np.concatenate(
            [self.session.run([self.output], {"image": image[i : i + 1]})[0] for i in range(len(image))]  # type: ignore[reportArgumentType]
        )
