"""ONNX Runtime on the CPU."""

from collections.abc import Callable, Sequence
from typing import Any

from segdistill_runtime.cuda import NO_DEVICE, driver_is_missing
from segdistill_runtime.errors import FileRefused, NotAvailable
from segdistill_runtime.onnx_file import require_plain_graph
from segdistill_runtime.runner import Runner, input_shape
from segdistill_runtime.targets.target import Reader, Target


class OnnxRuntime(Target):
    name = module = "onnxruntime"
    label = "ONNX Runtime"
    device = "cpu"
    packages = ("onnxruntime", "onnxruntime-gpu")
    runs_files_of = decided_with = "onnxruntime"
    triton_backend = "onnxruntime"
    provider = "CPUExecutionProvider"

    def open(self, file: str, read: Reader, threads: int, disabled_optimizers: Sequence[str] = ()) -> "OnnxRunner":
        """Load a graph; `disabled_optimizers` are names of ONNX Runtime's graph optimizers."""
        graph = read(file)
        require_plain_graph(file, graph)
        options = self.session_options(threads)
        return OnnxRunner(self, file, self.session(file, graph, options, disabled_optimizers))

    def session_options(self, threads: int) -> Any:
        onnxruntime = self.load()
        onnxruntime.set_default_logger_severity(4)  # the exception contains its messages
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        return options

    def session(self, file: str, graph: bytes, options: Any, disabled_optimizers: Sequence[str] = ()) -> Any:
        """Open a session on this provider only; by default, ONNX Runtime would silently use another one."""
        onnxruntime = self.load()
        found = onnxruntime.get_available_providers()
        if self.provider not in found:
            raise NotAvailable(f"onnxruntime has {', '.join(found)}, not {self.provider}; install {self.packages[0]}")
        try:
            session = onnxruntime.InferenceSession(
                graph, options, providers=[(self.provider, self.provider_options())], enable_fallback=0,
                disabled_optimizers=list(disabled_optimizers) or None,
            )  # fmt: skip
        except Exception as error:  # the runtime's own exceptions share no public base class
            said = str(error).strip().partition("\n")[0]
            if self.device == "gpu":
                why = NO_DEVICE if driver_is_missing() else f"the GPU, its driver or a CUDA library fails ({said})"
                raise NotAvailable(f"{self.provider} cannot run {file} on this machine: {why}") from error
            raise FileRefused(f"ONNX Runtime cannot load {file}: {said}") from error
        if session.get_providers()[0] != self.provider:  # it was dropped: its libraries do not load
            raise NotAvailable(f"{self.provider} cannot be used: one of its libraries or the device is missing")
        return session

    def provider_options(self) -> dict[str, str]:
        return {}


class OnnxRunner(Runner):
    def __init__(self, target: OnnxRuntime, file: str, session: Any):
        self.name, self.provider = target.name, target.provider
        self.memory = "cpu" if target.device == "cpu" else "cuda"
        self.ort_value, self.session = target.load().OrtValue, session
        inputs = [(one.name, one.type.removeprefix("tensor(").rstrip(")"), one.shape) for one in session.get_inputs()]
        self.shape = input_shape(file, inputs)
        self.output = session.get_outputs()[0].name

    def run_batch(self, images: Any) -> Any:
        return self.session.run([self.output], {"image": images})[0]

    def prepare(self, images: Any) -> Callable[[], object]:
        source = self.ort_value.ortvalue_from_numpy(images, self.memory, 0)
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("image", source)
        binding.bind_output(self.output, self.memory)
        self.session.run_with_iobinding(binding)
        (labels,) = binding.get_outputs()
        binding.bind_ortvalue_output(self.output, labels)  # else every call allocates a new output

        def call() -> object:
            self.session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return labels

        return call

    def close(self) -> None:
        del self.session
