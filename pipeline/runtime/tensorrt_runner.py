"""Run an engine on the GPU it was built for. Device memory and streams are PyTorch's."""

import importlib
from pathlib import Path
from typing import Self

import numpy as np
import torch

from pipeline.runtime import RunnerUnavailable, UnknownArtifact

BACKENDS = {b"vtrt": "tensorrt_rtx", b"ftrt": "tensorrt"}
"""First four bytes of a serialized engine, and the package that reads it."""


class TensorRTRunner:
    """One image at a time, host to host."""

    name = "tensorrt"

    def __init__(self, engine: Path):
        data = engine.read_bytes()
        package = BACKENDS.get(data[:4])
        if package is None:
            raise UnknownArtifact(f"{engine} does not begin like a TensorRT engine ({data[:4]!r}); build it again")
        if not torch.cuda.is_available():
            raise RunnerUnavailable("an engine needs a GPU, and this machine has none")
        try:
            self.trt = importlib.import_module(package)
        except ImportError as error:
            raise RunnerUnavailable(f"{engine} needs the package {package}, which is not installed: {error}") from error
        self.engine = self.trt.Runtime(self.trt.Logger(self.trt.Logger.ERROR)).deserialize_cuda_engine(data)
        if self.engine is None:
            raise RunnerUnavailable(
                f"{engine} was refused: it was built for another GPU architecture or version of {package} "
                f"({self.trt.__version__} is here); build it again with `dvc repro engine`"
            )
        self.context = self.engine.create_execution_context()
        self.stream = torch.cuda.Stream()
        self.image = torch.empty(tuple(self.engine.get_tensor_shape("image")), dtype=torch.uint8, device="cuda")
        self.labels = torch.empty(tuple(self.engine.get_tensor_shape("labels")), dtype=torch.uint8, device="cuda")
        self.context.set_tensor_address("image", self.image.data_ptr())
        self.context.set_tensor_address("labels", self.labels.data_ptr())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.context, self.engine

    def run(self, image: np.ndarray) -> np.ndarray:
        return np.concatenate([self._run_one(image[i : i + 1]) for i in range(len(image))])

    def _run_one(self, image: np.ndarray) -> np.ndarray:
        with torch.cuda.stream(self.stream):
            self.image.copy_(torch.from_numpy(image))
            if not self.context.execute_async_v3(self.stream.cuda_stream):
                raise RunnerUnavailable("TensorRT could not enqueue the engine; its log above says why")
            labels = self.labels.cpu()
        self.stream.synchronize()
        return labels.numpy()
