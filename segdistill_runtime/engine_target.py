"""Common base of TensorRT and TensorRT for RTX.

Both build engines from ONNX files, and run an engine only on the GPUs that it was built for.
"""

import importlib
import re
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from segdistill_runtime.contract import INPUT, OUTPUT
from segdistill_runtime.cuda import TO_DEVICE, TO_HOST, CudaRuntime
from segdistill_runtime.engine_file import Description, read_engine, require_architecture, require_version
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets.target import Reader, Target, all_targets

ENGINE_SOURCES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8_tensorrt.onnx"}


class EngineTarget(Target):
    """Base of the targets whose Python package has the interface of TensorRT; `build_engine` builds for them."""

    device = "gpu"
    suffix = ".engine"
    sources = ENGINE_SOURCES
    runs_files_of = decided_with = "tensorrt"
    bundle_files = ("rebuild_on_target.sh", "rebuild.py")
    ahead_of_time: bool  # True: builds without a GPU. False: measures kernels on this machine's GPU

    def open(self, file: str, read: Reader, threads: int) -> Runner:
        """Load an engine; raises NotAvailable if its description names another package, version or GPU."""
        del threads  # a GPU has its own
        plan, description = read_engine(file, read)
        if description.backend != self.name:
            raise NotAvailable(f"{file} is an engine of {description.backend}; {self.name} cannot run it")
        trt = self.load()
        require_version(file, description, trt.__version__)
        try:
            cuda = CudaRuntime()
        except NotAvailable as error:
            raise NotAvailable(f"{file} needs a GPU: {error}") from error
        require_architecture(file, description, cuda.capability())
        return TensorRTRunner(trt, cuda, file, plan, description)


def engine_targets() -> list[EngineTarget]:
    return [target for target in all_targets() if isinstance(target, EngineTarget)]


class TensorRTRunner(Runner):
    """A loaded engine with its memory and stream on the GPU. Calls go from host to host and block."""

    provider = "cuda"

    def __init__(self, trt: ModuleType, cuda: CudaRuntime, file: str, plan: bytes, description: Description):
        self.name = description.backend
        self.cuda = cuda
        logger = collecting_logger(trt.__name__)
        logger.lines.clear()
        self.runtime = trt.Runtime(logger)  # must outlive the engine
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context: Any = self.engine and self.engine.create_execution_context()
        if self.context is None:
            raise NotAvailable(
                f"{self.name} {trt.__version__} refused {file}: {'; '.join(logger.lines)}. The usual cause is "
                f"too little GPU memory: free some"
            )
        self.shape = tuple(self.engine.get_tensor_shape(INPUT))
        self.images = np.empty(self.shape, np.uint8)
        self.labels = np.empty(tuple(self.engine.get_tensor_shape(OUTPUT)), np.uint8)
        self.images_address, self.labels_address = cuda.allocate(self.images.nbytes), cuda.allocate(self.labels.nbytes)
        self.context.set_tensor_address(INPUT, self.images_address)
        self.context.set_tensor_address(OUTPUT, self.labels_address)

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        self._copy_in(images)
        self._enqueue()
        self.cuda.copy(self.labels.ctypes.data, self.labels_address, self.labels.nbytes, TO_HOST)
        self.cuda.synchronize()
        return self.labels.copy()

    def prepare(self, images: np.ndarray) -> Callable[[], object]:
        self._copy_in(images)
        self.cuda.synchronize()

        def call() -> None:
            self._enqueue()
            self.cuda.synchronize()

        return call

    def _copy_in(self, images: np.ndarray) -> None:
        self.images[...] = images
        self.cuda.copy(self.images_address, self.images.ctypes.data, self.images.nbytes, TO_DEVICE)

    def _enqueue(self) -> None:
        if not self.context.execute_async_v3(self.cuda.stream.value or 0):
            raise NotAvailable(f"{self.name} could not enqueue the engine")

    def close(self) -> None:
        del self.context, self.engine, self.runtime
        for address in (self.images_address, self.labels_address):
            self.cuda.free(address)


@cache
def collecting_logger(package: str) -> Any:
    """Return the logger of a package, which keeps error lines for messages.

    TensorRT needs one logger for the life of the process.
    """
    trt = importlib.import_module(package)

    class Collecting(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(re.sub(r"\s+", " ", msg))

    return Collecting()
