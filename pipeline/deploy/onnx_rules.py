"""What every ONNX file that ships is held to, and how a file is held to it. Nothing here needs a network or PyTorch."""

from collections import Counter
from pathlib import Path

import onnx

from pipeline.errors import ArtifactError

IR_VERSION = 9  # the newest that three-year-old runtimes on robots still read
ALLOWED_OPS = frozenset(
    {"Add", "ArgMax", "AveragePool", "Cast", "Clip", "Concat", "Conv", "Div", "Expand", "HardSigmoid", "HardSwish"}
    | {"MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu", "Resize", "Sigmoid", "Sub", "Transpose"}
)
"""What convolutional segmenters are made of; anything else (pooling as hundreds of gathers, say) went astray."""
TRANSFORMER_OPS = frozenset(
    {"Erf", "Gelu", "LayerNormalization", "Neg", "Reshape", "Slice", "Softmax", "Split", "Squeeze"}
)
"""What else a graph with layer normalization may have."""
QUANTIZING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def check_graph(path: Path, opset: int, max_nodes: int, allowed: frozenset[str]) -> None:
    """Raise ArtifactError if a graph has another opset, unknown operators, too many nodes, or a machine's paths."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    operators = Counter(node.op_type for node in model.graph.node)
    if "LayerNormalization" in operators:
        allowed |= TRANSFORMER_OPS
    problems = []
    if found != {"ai.onnx": opset}:
        problems.append(f"operator sets {found}, asked for ai.onnx {opset} alone")
    if foreign := sorted(operators.keys() - allowed):
        problems.append(f"operators {', '.join(foreign)} do not belong into a segmenter")
    if (nodes := operators.total() - sum(operators[operator] for operator in QUANTIZING_OPS)) > max_nodes:
        problems.append(f"{nodes} nodes, allowed are {max_nodes} (params.yaml: export.max_nodes)")
    if any(part in path.read_bytes() for part in (b"/site-packages/", bytes(Path.cwd()))):
        problems.append("paths of this machine")
    if problems:
        raise ArtifactError(f"the exported graph is not fit to ship: {'; '.join(problems)}")
