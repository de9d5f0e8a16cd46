"""What each node of a graph costs, from the events of ONNX Runtime's profiler."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

CONVOLUTIONS = frozenset({"Conv", "FusedConv", "QLinearConv"})
KERNEL = "_kernel_time"


class NodeTime(NamedTuple):
    """One node of an optimized graph."""

    name: str
    operator: str
    ms: float  # median


class Postprocessing(NamedTuple):
    """The price of labels at full size, given out by the graph itself."""

    ms: float
    network_ms: float  # all that comes before
    share_of_network: float
    operators: list[str]


def kernel_times(events: Sequence[dict[str, Any]]) -> list[NodeTime]:
    """Median time of each node without its first call, in the order in which nodes run."""
    milliseconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            node = event["name"].removesuffix(KERNEL), event["args"]["op_name"]
            milliseconds[node].append(event["dur"] / 1e3)
    return [NodeTime(*node, median(times[1:])) for node, times in milliseconds.items()]


def postprocessing(nodes: Sequence[NodeTime]) -> Postprocessing | None:
    """What comes after the last convolution, against everything before.

    None where a time is below zero: ONNX Runtime's profiler goes by the time of day, which may be set back.
    """
    if any(node.ms < 0 for node in nodes):
        return None
    last = max(i for i, node in enumerate(nodes) if node.operator in CONVOLUTIONS)
    network, after = nodes[: last + 1], nodes[last + 1 :]
    network_ms, ms = sum(node.ms for node in network), sum(node.ms for node in after)
    return Postprocessing(ms, network_ms, ms / network_ms, [node.operator for node in after])
