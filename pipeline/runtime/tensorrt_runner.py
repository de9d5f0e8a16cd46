"""Run an engine on a GPU that it was built for. Device memory and streams are PyTorch's."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from pipeline.deploy.bundle.on_target.engine_file import (
    EngineDamaged,
    EngineRefused,
    read_engine,
    require_architecture,
    require_version,
)
from pipeline.runtime import RunnerUnavailable, UnknownArtifact, batches, one_batch


class TensorRTRunner:
    """One image at a time, host to host. An engine is checked against its description before TensorRT sees a byte."""

    def __init__(self, engine: Path):
        try:
            plan, description = read_engine(engine)
        except EngineDamaged as error:
            raise UnknownArtifact(str(error)) from error
        self.name = description.backend
        self.provider = "cuda"
        try:
            self.trt = importlib.import_module(description.backend)
        except (ImportError, OSError) as error:  # a library of the package that cannot be loaded is an OSError
            raise RunnerUnavailable(
                f"{engine} needs the package {description.backend}, which is not installed: {error}"
            ) from error
        try:
            require_version(description, self.trt.__version__)
            if not torch.cuda.is_available():
                raise RunnerUnavailable("an engine needs a GPU, and this machine has none")
            require_architecture(description, "SM{}{}".format(*torch.cuda.get_device_capability()))
        except EngineRefused as error:
            raise RunnerUnavailable(f"{engine}: {error}") from error
        self.runtime = self.trt.Runtime(self.trt.Logger(self.trt.Logger.ERROR))  # must outlive the engine
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context: Any = self.engine and self.engine.create_execution_context()
        if self.context is None:
            raise RunnerUnavailable(
                f"{engine} was refused by {description.backend} {self.trt.__version__}, whose log above says why; the "
                f"usual cause is too little memory on the GPU"
            )
        self.stream = torch.cuda.Stream()
        self.image = torch.empty(tuple(self.engine.get_tensor_shape("image")), dtype=torch.uint8, device="cuda")
        self.labels = torch.empty(tuple(self.engine.get_tensor_shape("labels")), dtype=torch.uint8, device="cuda")
        self.context.set_tensor_address("image", self.image.data_ptr())
        self.context.set_tensor_address("labels", self.labels.data_ptr())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.context, self.engine, self.runtime

    def run(self, image: np.ndarray) -> np.ndarray:
        return np.concatenate([self._run_batch(part) for part in batches(image, self.image.shape)])

    def prepared(self, image: np.ndarray) -> Callable[[], object]:
        self.image.copy_(torch.from_numpy(one_batch(image, self.image.shape)))
        torch.cuda.synchronize()

        def call() -> None:
            self._enqueue()
            self.stream.synchronize()

        return call

    def _run_batch(self, image: np.ndarray) -> np.ndarray:
        with torch.cuda.stream(self.stream):
            self.image.copy_(torch.from_numpy(image))
            self._enqueue()
            labels = self.labels.cpu()
        self.stream.synchronize()
        return labels.numpy()

    def _enqueue(self) -> None:
        if not self.context.execute_async_v3(self.stream.cuda_stream):
            raise RunnerUnavailable("TensorRT could not enqueue the engine; its log above says why")
