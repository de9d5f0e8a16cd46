"""Run an ONNX file with ONNX Runtime."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime

from pipeline.deploy.bundle.runner.graphs import GraphRefused, require_plain_graph
from pipeline.runtime import RunnerUnavailable, UnknownArtifact, batches, input_shape, one_batch
from pipeline.runtime.nodes import NodeTime, kernel_times

PROVIDERS = {"onnxruntime": "CPUExecutionProvider", "onnxruntime_cuda": "CUDAExecutionProvider"}
DEVICES = {"onnxruntime": "cpu", "onnxruntime_cuda": "cuda"}


class OnnxRunner:
    """Asks for one provider by its name and makes sure that it got that one: ONNX Runtime falls back silently.

    Args:
        runtime: a key of PROVIDERS.
        float_biases: leave biases as they are, for a file of int8 convolutions with float16 between them, which is made
            for TensorRT. ONNX Runtime would quantize them with a scale that underflows in float16.
    """

    def __init__(self, graph: Path, threads: int, runtime: str = "onnxruntime", float_biases: bool = False):
        self.name = runtime
        self.provider = PROVIDERS[runtime]
        self.device = DEVICES[runtime]
        require_onnx(graph)
        dropped = ["WeightBiasQuantization"] if float_biases else None
        self.session = _session(graph, _options(threads), self.provider, dropped)
        self.shape = _input_shape(graph, self.session)
        self.output = self.session.get_outputs()[0].name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.session

    def run(self, image: np.ndarray) -> np.ndarray:
        """The graph's first output: labels, or logits of a graph that gives those."""
        return np.concatenate(
            [np.asarray(self.session.run([self.output], {"image": part})[0]) for part in batches(image, self.shape)]
        )

    def prepared(self, image: np.ndarray) -> Callable[[], object]:
        source = onnxruntime.OrtValue.ortvalue_from_numpy(
            np.ascontiguousarray(one_batch(image, self.shape)), self.device, 0
        )
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("image", source)
        binding.bind_output(self.output, self.device)
        self.session.run_with_iobinding(binding)
        (labels,) = binding.get_outputs()
        binding.bind_ortvalue_output(self.output, labels)  # else every call allocates its output anew

        def call() -> onnxruntime.OrtValue:
            self.session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return labels

        return call


def node_times(graph: Path, threads: int, image: np.ndarray, calls: int) -> list[NodeTime]:
    """Time the nodes of the graph as ONNX Runtime runs it on the CPU, in the order in which it does.

    Args:
        image: uint8, one batch of the graph.
        calls: after one that is not counted.
    """
    require_onnx(graph)
    with tempfile.TemporaryDirectory() as folder:
        options = _options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "nodes")
        session = _session(graph, options, PROVIDERS["onnxruntime"], None)
        one_batch(image, _input_shape(graph, session))
        for _ in range(calls + 1):
            session.run(None, {"image": image})
        return kernel_times(json.loads(Path(session.end_profiling()).read_text()))


def require_onnx(graph: Path) -> None:
    """Refuse a file before any runtime sees it.

    Raises:
        UnknownArtifact: truncated, damaged, or with weights in other files.
    """
    try:
        require_plain_graph(graph.read_bytes())
    except GraphRefused as error:
        raise UnknownArtifact(f"{graph} is no ONNX file to run: {error}; write it again with dvc repro") from error


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # All of them: the blocked layout of convolutions, which the lower levels leave out, is worth a quarter of the time.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4  # what it says is in the exception
    return options


def _session(
    graph: Path, options: onnxruntime.SessionOptions, provider: str, dropped: list[str] | None
) -> onnxruntime.InferenceSession:
    """A session on `provider` and on no other."""
    if provider not in onnxruntime.get_available_providers():
        raise RunnerUnavailable(f"this ONNX Runtime has no {provider}, only {onnxruntime.get_available_providers()}")
    if provider != PROVIDERS["onnxruntime"]:
        onnxruntime.preload_dlls()  # CUDA's libraries are those of PyTorch's packages
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # of single nodes
    try:
        session = onnxruntime.InferenceSession(
            graph, options, providers=[provider], enable_fallback=0, disabled_optimizers=dropped
        )
    except Exception as error:  # the runtime's own exceptions share no public base class
        if provider != PROVIDERS["onnxruntime"]:
            raise RunnerUnavailable(f"{provider} cannot run {graph} on this machine: {_first_line(error)}") from error
        raise UnknownArtifact(f"{graph} is no ONNX file that ONNX Runtime can load: {_first_line(error)}") from error
    if session.get_providers()[0] != provider:  # a provider whose libraries do not load is dropped with a log line
        raise RunnerUnavailable(
            f"asked for {provider}, ONNX Runtime gave {session.get_providers()}: a library of {provider} is missing, "
            f"or there is no such device"
        )
    return session


def _input_shape(graph: Path, session: onnxruntime.InferenceSession) -> tuple[int, ...]:
    kinds = [given.type.removeprefix("tensor(").removesuffix(")") for given in session.get_inputs()]
    given = zip(session.get_inputs(), kinds, strict=True)
    return input_shape(graph, [(one.name, kind, one.shape) for one, kind in given])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
