"""The rules that every released ONNX file follows, and their check. Nothing here needs a network or PyTorch."""

from collections import Counter
from pathlib import Path

import onnx

from pipeline.errors import ArtifactError

IR_VERSION = 9  # the newest version that three-year-old runtimes on robots can read
ALLOWED_OPS = frozenset({
    "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Div", "Elu", "Erf",
    "Exp", "Expand", "Gelu", "GlobalAveragePool", "HardSigmoid", "HardSwish", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Neg", "PRelu", "Pad", "Pow", "ReduceL2",
    "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Softplus", "Split",
    "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators of a segmenter. Any other one (computed shapes, branches, gathers) is a mistake of the export."""
QUANTIZING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})


MOST_OF_LAYER = 64
"""The most nodes that one layer may have; a graph with many layers may have more. Attention with rotary embeddings has
34, a head's pyramid 13. A loop that the exporter unrolled has hundreds."""


def check_graph(path: Path, opset: int, allowed: frozenset[str]) -> None:
    """Raise ArtifactError if a graph has another opset, unknown operators, an unrolled layer, or local paths."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    nodes = [node for node in model.graph.node if node.op_type not in QUANTIZING_OPS]
    layers = Counter(node.name.rpartition("/")[0] for node in nodes)
    problems = []
    if found != {"ai.onnx": opset}:
        problems.append(f"operator sets are {found} instead of ai.onnx {opset} alone")
    if foreign := sorted({node.op_type for node in model.graph.node} - allowed):
        problems.append(f"operators {', '.join(foreign)} are not allowed in a segmenter")
    if unrolled := [f"{layer} has {count}" for layer, count in layers.items() if count > MOST_OF_LAYER]:
        problems.append(f"layer {', '.join(unrolled)} nodes, more than {MOST_OF_LAYER}: check for a loop in Python")
    content = path.read_bytes()
    if paths := [part.decode(errors="replace") for part in (b"/site-packages/", bytes(Path.cwd())) if part in content]:
        problems.append(f"paths of this machine ({', '.join(paths)})")
    if problems:
        raise ArtifactError(f"the exported graph cannot be released: {'; '.join(problems)}")
