"""What TensorRT and TensorRT for RTX have in common: engines are built from ONNX files and run on one kind of GPU."""

from collections.abc import Sequence

from segdistill_runtime.cuda import CudaRuntime
from segdistill_runtime.engine_build import Settings, build_engine
from segdistill_runtime.engine_file import Built, read_engine, require_architecture, require_version
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import Reader, Target, load_target

ENGINE_SOURCES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8_tensorrt.onnx"}


class EngineTarget(Target):
    """Base of the targets whose Python package has the interface of TensorRT."""

    device = "gpu"
    suffix = ".engine"
    sources = ENGINE_SOURCES
    runs_files_of = decided_with = "tensorrt"
    bundle_files = ("rebuild_on_target.sh", "rebuild.py")
    ahead_of_time: bool  # builds for GPUs that are not here; the others measure kernels on the GPU that is

    def build(
        self, source_file: str, source: bytes, precision: str, gpus: Sequence[str], gpu: str | None, settings: Settings
    ) -> Built:
        """Build one engine; see `build_engine`."""
        return build_engine(self.load(), source_file, source, precision, gpus, gpu, settings, self.ahead_of_time)

    def open(self, file: str, read: Reader, threads: int) -> Runner:
        """Load an engine of this package, after its description said that it is for this version and this GPU."""
        del threads  # the GPU's own
        plan, description = read_engine(file, read)
        if description.backend != self.name:
            raise NotAvailable(f"{file} is an engine of {description.backend}, and {self.name} was asked for")
        trt = self.load()
        require_version(file, description, trt.__version__)
        try:
            cuda = CudaRuntime()
        except NotAvailable as error:
            raise NotAvailable(f"{file} needs a GPU: {error}") from error
        require_architecture(file, description, cuda.capability())
        from segdistill_runtime.tensorrt_runner import TensorRTRunner

        return TensorRTRunner(trt, cuda, file, plan, description)


def engine_targets() -> list[EngineTarget]:
    """Return the targets that build engines; only their own files are imported."""
    targets = [load_target(name) for name in TARGETS]
    return [target for target in targets if isinstance(target, EngineTarget)]
