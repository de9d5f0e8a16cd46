"""An engine built and run through TensorRT's Python package."""

import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .cuda_runtime import TO_DEVICE, TO_HOST, CudaRuntime
from .engine_builder import Built, Settings, build_engine, collecting_logger
from .engine_file import Description, EngineRefused, read_engine, require_architecture, require_version

WARM_UP_CALLS = 50
CALLS = 200
MIN_S = 1.0


class Measured(NamedTuple):
    labels: Any  # uint8 (1, H, W)
    times_ms: list[float]  # of each call, host to host


class PythonTarget:
    """Builds with the `tensorrt` or `tensorrt_rtx` package; runs engines if there is a GPU.

    Args:
        cuda: None where there is no GPU: engines are then built ahead of time and not run.
    """

    def __init__(self, trt: ModuleType, capabilities: list[str], cuda: CudaRuntime | None):
        self.trt = trt
        self.backend: str = trt.__name__
        self.version: str = trt.__version__
        self.capabilities = capabilities
        self.cuda = cuda

    def build(self, source: Path, content: bytes, precision: str, settings: Settings, out: Path) -> Built:
        """`content` is what was verified of the ONNX file `source`. Nothing is written to `out` yet."""
        gpu = self.capabilities[0] if self.cuda is not None else None
        return build_engine(self.trt, source.name, content, precision, self.capabilities, gpu, settings)

    def measure(self, engine: Path, contract_input: str, contract_output: str, image: Any) -> Measured:
        if self.cuda is None:
            raise EngineRefused(f"{engine} cannot be run: there is no GPU")
        plan, description = read_engine(engine)
        require_version(description, self.version)
        require_architecture(description, self.cuda.capability())
        session = Session(self.trt, self.cuda, plan, description, contract_input, contract_output)
        for _ in range(WARM_UP_CALLS):
            session.run(image)
        labels, times = session.run(image), []
        start = time.perf_counter()
        while len(times) < CALLS or time.perf_counter() - start < MIN_S:
            before = time.perf_counter()
            session.run(image)
            times.append(1000 * (time.perf_counter() - before))
        return Measured(labels, times)


class Session:
    """One engine with its memory on the GPU, host to host, blocking."""

    def __init__(
        self, trt: ModuleType, cuda: CudaRuntime, plan: bytes, description: Description, input_: str, output: str
    ):
        import numpy as np

        self.cuda = cuda
        logger = collecting_logger(trt.__name__)
        logger.lines.clear()
        self.runtime = trt.Runtime(logger)  # must outlive the engine
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context: Any = self.engine and self.engine.create_execution_context()
        if self.context is None:
            raise EngineRefused(f"TensorRT {description.version} refused its own engine: {'; '.join(logger.lines)}")
        self.image = np.empty(tuple(self.engine.get_tensor_shape(input_)), np.uint8)
        self.labels = np.empty(tuple(self.engine.get_tensor_shape(output)), np.uint8)
        self.image_address, self.labels_address = cuda.allocate(self.image.nbytes), cuda.allocate(self.labels.nbytes)
        self.context.set_tensor_address(input_, self.image_address)
        self.context.set_tensor_address(output, self.labels_address)

    def run(self, image: Any) -> Any:
        """uint8 (1, H, W, 3) to uint8 (1, H, W)."""
        if image.shape != self.image.shape:
            raise EngineRefused(f"the engine takes images of shape {self.image.shape}, got {image.shape}")
        self.image[...] = image
        self.cuda.copy(self.image_address, self.image.ctypes.data, self.image.nbytes, TO_DEVICE)
        if not self.context.execute_async_v3(self.cuda.stream.value or 0):
            raise EngineRefused("TensorRT could not enqueue the engine")
        self.cuda.copy(self.labels.ctypes.data, self.labels_address, self.labels.nbytes, TO_HOST)
        self.cuda.synchronize()
        return self.labels.copy()
