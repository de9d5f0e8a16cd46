"""The runtimes that run a graph of this bundle. Each is imported when it is chosen, and gets verified bytes."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .contract import CUDA, PACKAGES, Choice, Contract, RuntimeMissing, RuntimeRefused, why_not
from .graphs import GraphRefused, require_plain_graph

Reader = Callable[[str], bytes]
"""Gives the verified bytes of a file of the bundle."""


FULL_PRECISION = "model.onnx"


class Runtime(Protocol):
    """A loaded model."""

    def run(self, batch: np.ndarray, /) -> np.ndarray:
        """uint8 (1, H, W, 3) RGB to uint8 train ids (1, H, W)."""
        ...


def choose(contract: Contract, asked: str) -> Choice:
    """The file to run with a runtime.

    Raises:
        RuntimeRefused: nothing ships for it.
    """
    if asked == CUDA:
        return Choice(CUDA, "fp32", FULL_PRECISION, None)  # how fast it is there was not part of any decision
    for choice in contract.runtimes:
        if choice.runtime == asked:
            return choice
    raise RuntimeRefused(f"{contract.run}: nothing ships for {asked}: {why_not(contract, asked)}")


def open_runtime(contract: Contract, choice: Choice, read: Reader, threads: int) -> Runtime:
    """Load a model.

    Args:
        threads: 0 lets the runtime choose.

    Raises:
        RuntimeMissing: its package is not installed.
        RuntimeRefused: there is no such device, or the runtime cannot load the model.
    """
    data = read(choice.model)
    try:
        require_plain_graph(data)
    except GraphRefused as refusal:
        raise RuntimeRefused(f"{choice.model}: {refusal}") from refusal
    if choice.runtime == "openvino":
        return OpenVino(data, contract, threads)
    return OnnxRuntime(data, contract, threads, "CUDA" if choice.runtime == CUDA else "CPU")


class OnnxRuntime:
    """ONNX Runtime on one kind of device and no other: where it would fall back silently, this fails."""

    def __init__(self, data: bytes, contract: Contract, threads: int, device: str):
        try:
            import onnxruntime
        except ImportError as error:
            name = PACKAGES[CUDA if device == "CUDA" else "onnxruntime"]
            raise RuntimeMissing(f"onnxruntime is not installed ({error}): pip install {name}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what it says is in the exception
        onnxruntime.set_default_logger_severity(4)
        provider = f"{device}ExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise RuntimeRefused(f"this onnxruntime has no {provider}, only {onnxruntime.get_available_providers()}")
        if device != "CPU":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            self.session = onnxruntime.InferenceSession(data, options, providers=[provider], enable_fallback=0)
        except Exception as error:  # the runtime's own exceptions share no public base class
            said = str(error).strip().partition("\n")[0]
            raise RuntimeRefused(
                f"onnxruntime {onnxruntime.__version__} cannot run the model with {provider} on this machine: {said}"
            ) from error
        if self.session.get_providers()[0] != provider:
            raise RuntimeRefused(f"asked for {provider}, onnxruntime gave {self.session.get_providers()}")
        found = [(i.name, i.type, list(i.shape)) for i in self.session.get_inputs()]
        _require_same(found, [(contract.input, "tensor(uint8)", list(contract.shape))])
        self.contract = contract

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.asarray(self.session.run([self.contract.output], {self.contract.input: batch})[0])


class OpenVino:
    """OpenVINO on the CPU, in the numeric types of the file (its own default would be bfloat16 where it can)."""

    def __init__(self, data: bytes, contract: Contract, threads: int):
        try:
            import openvino
        except ImportError as error:
            raise RuntimeMissing(f"openvino is not installed ({error}): pip install {PACKAGES['openvino']}") from error
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            self.model = core.compile_model(core.read_model(model=data), "CPU", settings)
        except Exception as error:  # likewise
            raise RuntimeRefused(f"openvino {openvino.__version__} cannot load the model: {error}") from error
        found = [(i.any_name, i.element_type.to_string(), list(i.shape)) for i in self.model.inputs]
        _require_same(found, [(contract.input, "u8", list(contract.shape))])
        self.contract = contract

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.array(self.model({self.contract.input: batch})[self.contract.output])


def _require_same(found: list[Any], expected: list[Any]) -> None:
    if found != expected:
        raise RuntimeRefused(f"the model takes {found}, preprocessing.json says {expected}: not the file it speaks of")
