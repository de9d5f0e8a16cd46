"""Run an ONNX file with OpenVINO, which is imported nowhere else: from outside, what this CPU can do."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.runtime import RunnerUnavailable, UnknownArtifact, batches, input_shape, one_batch
from pipeline.runtime.onnx_runner import require_onnx


class OpenVinoRunner:
    """CPU execution in the numeric types of the file; OpenVINO's own choice would be bfloat16 where the CPU has it."""

    name = "openvino"
    provider = "CPU"

    def __init__(self, graph: Path, threads: int):
        require_onnx(graph)
        try:
            import openvino
        except ImportError as error:
            raise RunnerUnavailable(f"package openvino is not installed here ({error})") from error
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            self.model = openvino.Core().compile_model(graph, self.provider, settings)
        except Exception as error:  # it raises RuntimeError and what its bindings raise
            raise UnknownArtifact(f"{graph} is no ONNX file that OpenVINO can load: {error}") from error
        self.shape = input_shape(graph, [_described(given) for given in self.model.inputs])
        self.tensor = openvino.Tensor
        self.request = self.model.create_infer_request()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.request, self.model

    def run(self, image: np.ndarray) -> np.ndarray:
        return np.concatenate([self.request.infer({"image": part})[0] for part in batches(image, self.shape)])

    def prepared(self, image: np.ndarray) -> Callable[[], object]:
        request = self.model.create_infer_request()  # its own: `run` would replace the image
        request.set_input_tensor(self.tensor(np.ascontiguousarray(one_batch(image, self.shape))))

        def call() -> object:
            request.start_async()  # `infer` of the Python binding would copy the labels
            request.wait()
            return request.get_output_tensor()

        return call


def _described(given: Any) -> tuple[str, str, Sequence[object]]:
    """Name, type and shape of one input; a length that is not fixed as text."""
    lengths = [length.get_length() if length.is_static else str(length) for length in given.partial_shape]
    return given.any_name, given.element_type.to_dtype().name, lengths
