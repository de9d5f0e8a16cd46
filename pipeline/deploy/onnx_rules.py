"""What every ONNX file that ships is held to, and how a file is held to it. Nothing here needs a network or PyTorch."""

from collections import Counter
from pathlib import Path

import onnx

from pipeline.errors import ArtifactError

IR_VERSION = 9  # the newest that three-year-old runtimes on robots still read
ALLOWED_OPS = frozenset({
    "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Div", "Elu", "Erf",
    "Exp", "Expand", "Gelu", "GlobalAveragePool", "HardSigmoid", "HardSwish", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Neg", "PRelu", "Pad", "Pow", "ReduceL2",
    "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Softplus", "Split",
    "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
})  # fmt: skip
"""What segmenters are made of; anything else (shapes that are computed, branches, gathers) went astray."""
QUANTIZING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})


MOST_OF_LAYER = 64
"""Nodes that one layer may become: a graph may have many of them if the network has many layers. Attention with rotary
embeddings has 34, a head's pyramid 13; a loop that the exporter unrolled has hundreds."""


def check_graph(path: Path, opset: int, allowed: frozenset[str]) -> None:
    """Raise ArtifactError if a graph has another opset, unknown operators, an unrolled layer, or a machine's paths."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    nodes = [node for node in model.graph.node if node.op_type not in QUANTIZING_OPS]
    layers = Counter(node.name.rpartition("/")[0] for node in nodes)
    problems = []
    if found != {"ai.onnx": opset}:
        problems.append(f"operator sets {found}, asked for ai.onnx {opset} alone")
    if foreign := sorted({node.op_type for node in model.graph.node} - allowed):
        problems.append(f"operators {', '.join(foreign)} do not belong into a segmenter")
    if unrolled := [f"{layer} became {count}" for layer, count in layers.items() if count > MOST_OF_LAYER]:
        problems.append(f"layer {', '.join(unrolled)} nodes, more than {MOST_OF_LAYER}: is there a loop in Python?")
    if any(part in path.read_bytes() for part in (b"/site-packages/", bytes(Path.cwd()))):
        problems.append("paths of this machine")
    if problems:
        raise ArtifactError(f"the exported graph is not fit to ship: {'; '.join(problems)}")
