"""Read the activations of every layer of a graph, find the largest one, and the first layer where two graphs differ."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from pipeline.records.artifacts import Activations

HALF_LIMIT = 65504 / 4  # a quarter of the largest float16, because other images may reach more
OUTSIDE = "graph/"  # prefix of the nodes before and after the network
ROUNDED = "_DequantizeLinear_Output"  # suffix of a tensor after rounding to int8, which also does a Relu's work
FLOATING = (TensorProto.FLOAT, TensorProto.FLOAT16)


class Divergence(NamedTuple):
    """The layer whose output differs from that of the source graph."""

    layer: str
    relative_error: float  # root mean square of the difference, divided by that of the source's activations

    def __str__(self) -> str:
        return f"layer {self.layer} (relative error of its output {self.relative_error:.3g})"


class Probe:
    """A session that returns all floating-point tensors of a graph, in the order of computation."""

    def __init__(self, graph: Path):
        model = onnx.shape_inference.infer_shapes(onnx.load(graph))
        self.opset = model.opset_import[0].version
        floating = {i.name: i for i in model.graph.value_info if i.type.tensor_type.elem_type in FLOATING}
        self.layers = {out: node.name for node in model.graph.node for out in node.output if out in floating}
        model.graph.output.extend(floating[tensor] for tensor in self.layers)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # else layers are merged
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def activations(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the activations by tensor name, float32, for a batch of images uint8 (n, H, W, 3)."""
        values = self.session.run(list(self.layers), {"image": image})
        return {name: np.asarray(value, np.float32) for name, value in zip(self.layers, values, strict=True)}


def largest_activation(graph: Path, images: Sequence[np.ndarray]) -> Activations:
    """Find the largest activation of a graph over images uint8 (1, H, W, 3).

    An overflow in float16 appears as infinity or NaN in the next layer.
    """
    probe, largest, layer = Probe(graph), 0.0, "none"
    for image in images:
        for tensor, values in probe.activations(image).items():
            magnitude = float(np.nan_to_num(np.abs(values).max(), nan=np.inf, posinf=np.inf))
            if magnitude > largest and not probe.layers[tensor].startswith(OUTSIDE):
                largest, layer = magnitude, probe.layers[tensor]
    finite = largest < np.inf
    return Activations(images=len(images), magnitude=largest, layer=layer, finite=finite, limit_of_fp16=HALF_LIMIT)


def first_divergence(
    source: Path | Callable[[np.ndarray, int], dict[str, np.ndarray]], graph: Path, image: np.ndarray, limit: float
) -> Divergence:
    """Return the first layer of `graph` whose relative error is above `limit`.

    If there is none, return the layer with the largest error. A tensor that only one of the two has is skipped.

    Args:
        source: another graph, or a function that takes an image and an opset and returns activations by the tensor
            names of `graph`.
    """
    probe, worst = Probe(graph), Divergence("none", 0.0)
    expected = Probe(source).activations(image) if isinstance(source, Path) else source(image, probe.opset)
    found = probe.activations(image)
    for tensor in found:
        values = found.get(f"{tensor}{ROUNDED}", found[tensor])
        if tensor in expected and expected[tensor].shape == values.shape:
            error = relative_error(values, expected[tensor])
            if error > limit:
                return Divergence(probe.layers[tensor], error)
            if error > worst.relative_error:
                worst = Divergence(probe.layers[tensor], error)
    return worst


def relative_error(values: np.ndarray, reference: np.ndarray) -> float:
    """Return the root mean square of the difference over that of the reference; infinity if a value is not finite."""
    difference = np.sqrt(np.mean((values.astype(np.float64) - reference) ** 2))
    scale = np.sqrt(np.mean(reference.astype(np.float64) ** 2))
    return float(difference / max(scale, np.finfo(np.float32).tiny)) if np.isfinite(difference) else float("inf")
