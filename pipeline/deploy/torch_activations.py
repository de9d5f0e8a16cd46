"""Record the activations of every layer in PyTorch, to compare an exported graph with them."""

import numpy as np
import torch
from torch.fx import Interpreter, Node

from models.export_wrappers import LabelsGraph
from pipeline.deploy.onnx_export import to_onnx


def activations_in_pytorch(graph: LabelsGraph, image: np.ndarray, opset: int) -> dict[str, np.ndarray]:
    """Return PyTorch's activations of the traced graph, by the tensor names of the exported file."""
    program = to_onnx(graph, torch.from_numpy(image), opset, None).exported_program
    assert program is not None
    recorder = _Recorder(program.module())  # type: ignore[reportArgumentType]
    with torch.inference_mode():
        recorder.run(torch.from_numpy(image))
    return recorder.values


class _Recorder(Interpreter):
    """An interpreter that keeps the output of every node of a traced graph."""

    def __init__(self, module: torch.fx.GraphModule):
        super().__init__(module)
        self.values: dict[str, np.ndarray] = {}

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and n.op == "call_function":
            self.values[n.name] = value.float().numpy()
        return value
