"""Run an engine on the GPU; memory and the stream are CUDA's own, so no other package is needed."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from segdistill_runtime.contract import INPUT, OUTPUT
from segdistill_runtime.cuda import TO_DEVICE, TO_HOST, CudaRuntime
from segdistill_runtime.engine_build import collecting_logger
from segdistill_runtime.engine_file import Description
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner


class TensorRTRunner(Runner):
    """One engine with its memory on the GPU, host to host, blocking."""

    provider = "cuda"

    def __init__(self, trt: ModuleType, cuda: CudaRuntime, file: str, plan: bytes, description: Description):
        import numpy as np

        self.name = description.backend
        self.cuda = cuda
        logger = collecting_logger(trt.__name__)
        logger.lines.clear()
        self.runtime = trt.Runtime(logger)  # must outlive the engine
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context: Any = self.engine and self.engine.create_execution_context()
        if self.context is None:
            raise NotAvailable(
                f"{file} was refused by {self.name} {trt.__version__}: {'; '.join(logger.lines)}. The usual cause is "
                f"too little memory on the GPU"
            )
        self.shape = tuple(self.engine.get_tensor_shape(INPUT))
        self.labels = np.empty(tuple(self.engine.get_tensor_shape(OUTPUT)), np.uint8)
        self.images = np.empty(self.shape, np.uint8)
        self.images_address, self.labels_address = cuda.allocate(self.images.nbytes), cuda.allocate(self.labels.nbytes)
        self.context.set_tensor_address(INPUT, self.images_address)
        self.context.set_tensor_address(OUTPUT, self.labels_address)

    def run_batch(self, images: Any) -> Any:
        self._copy_in(images)
        self._enqueue()
        self.cuda.copy(self.labels.ctypes.data, self.labels_address, self.labels.nbytes, TO_HOST)
        self.cuda.synchronize()
        return self.labels.copy()

    def prepare(self, images: Any) -> Callable[[], object]:
        self._copy_in(images)
        self.cuda.synchronize()

        def call() -> None:
            self._enqueue()
            self.cuda.synchronize()

        return call

    def close(self) -> None:
        del self.context, self.engine, self.runtime
        for address in (self.images_address, self.labels_address):
            self.cuda.free(address)

    def _copy_in(self, images: Any) -> None:
        self.images[...] = images
        self.cuda.copy(self.images_address, self.images.ctypes.data, self.images.nbytes, TO_DEVICE)

    def _enqueue(self) -> None:
        if not self.context.execute_async_v3(self.cuda.stream.value or 0):
            raise NotAvailable(f"{self.name} could not enqueue the engine")
