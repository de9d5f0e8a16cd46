"""Time each node of a graph in ONNX Runtime on the CPU, from the events of its profiler."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from pipeline.records.benchmark import Postprocessing
from segdistill_runtime.targets.onnxruntime import OnnxRuntime

CONVOLUTIONS = frozenset({"Conv", "FusedConv", "QLinearConv"})
KERNEL = "_kernel_time"


class NodeTime(NamedTuple):
    """One node of an optimized graph."""

    name: str
    operator: str
    ms: float  # median


def node_times(graph: Path, threads: int, images: np.ndarray, calls: int) -> list[NodeTime]:
    """Time the nodes of a graph on one uint8 batch, in the order of execution; the first call is not counted."""
    target = OnnxRuntime()
    with tempfile.TemporaryDirectory() as folder:
        options = target.session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "nodes")
        session = target.session(str(graph), graph.read_bytes(), options)
        for _ in range(calls + 1):
            session.run(None, {"image": images})
        return kernel_times(json.loads(Path(session.end_profiling()).read_text()))


def kernel_times(events: Sequence[dict[str, Any]]) -> list[NodeTime]:
    """Return the median time of each node without its first call, in the order of execution."""
    milliseconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            node = event["name"].removesuffix(KERNEL), event["args"]["op_name"]
            milliseconds[node].append(event["dur"] / 1e3)
    return [NodeTime(*node, median(times[1:])) for node, times in milliseconds.items()]


def postprocessing(nodes: Sequence[NodeTime], precision: str, file: str) -> Postprocessing | None:
    """Compare the time after the last convolution with the time of all nodes up to it.

    Return None if a time is negative: ONNX Runtime's profiler uses the time of day, which may be set back.
    """
    if any(node.ms < 0 for node in nodes):
        return None
    last = max(i for i, node in enumerate(nodes) if node.operator in CONVOLUTIONS)
    network, after = nodes[: last + 1], nodes[last + 1 :]
    network_ms, ms = sum(node.ms for node in network), sum(node.ms for node in after)
    return Postprocessing(
        precision=precision,
        file=file,
        ms=ms,
        network_ms=network_ms,
        share_of_network=ms / network_ms,
        operators=[node.operator for node in after],
    )
