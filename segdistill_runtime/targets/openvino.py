"""OpenVINO on the CPU."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from segdistill_runtime.errors import FileRefused
from segdistill_runtime.onnx_file import require_plain_graph
from segdistill_runtime.runner import Runner, input_shape
from segdistill_runtime.targets.target import Reader, Target


class OpenVino(Target):
    name = module = "openvino"
    label = "OpenVINO"
    device = "cpu"
    packages = ("openvino",)
    runs_files_of = decided_with = "openvino"

    def open(self, file: str, read: Reader, threads: int) -> "OpenVinoRunner":
        graph = read(file)
        require_plain_graph(file, graph)
        openvino = self.load()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # the file's types; by default OpenVINO uses bfloat16 if it can
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            core = openvino.Core()
            with kept_signal_stack():
                model = core.compile_model(core.read_model(model=graph), "CPU", settings)
        except Exception as error:  # it raises RuntimeError, and its bindings raise other errors
            raise FileRefused(f"OpenVINO cannot load {file}: {error}") from error
        return OpenVinoRunner(file, model, openvino.Tensor)


class OpenVinoRunner(Runner):
    name = "openvino"
    provider = "CPU"

    def __init__(self, file: str, model: Any, tensor: Any):
        self.model, self.tensor = model, tensor
        self.shape = input_shape(file, [_described(given) for given in model.inputs])
        self.request = model.create_infer_request()

    def run_batch(self, images: Any) -> Any:
        return self.request.infer({"image": images})[0].copy()

    def prepare(self, images: Any) -> Callable[[], object]:
        request = self.model.create_infer_request()  # a separate one: `run` would replace the image
        request.set_input_tensor(self.tensor(images))

        def call() -> object:
            request.start_async()  # `infer` of the Python binding would copy the labels
            request.wait()
            return request.get_output_tensor()

        return call

    def close(self) -> None:
        del self.request, self.model


class SignalStack(ctypes.Structure):
    """`stack_t` of <signal.h>, as Linux has it."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("bytes", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Leave this thread with the stack for signal handlers that it had before.

    OpenVINO gives the thread one for each model (2026.4). Of two models that close in the order in which they opened,
    the second restores the stack of the first, which is freed: the process dies at its next signal, such as Ctrl-C.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


def _described(given: Any) -> tuple[str, str, list[Any]]:
    """Return name, type and shape of one input; a length that is not fixed becomes text."""
    lengths = [length.get_length() if length.is_static else str(length) for length in given.partial_shape]
    return given.any_name, given.element_type.to_dtype().name, lengths
