"""Quantize a float graph to int8 with quantize and dequantize nodes. Only this module uses ONNX Runtime's quantizer.

Two artifacts are made from the same ranges. For CPUs, activations are unsigned, because their int8 instructions
multiply uint8 by int8. For TensorRT, activations are symmetric and signed, the only kind it supports, with float16
around them.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from pipeline.data.files import replacing, room_for
from pipeline.deploy.onnx_rules import ALLOWED_OPS, IR_VERSION, QUANTIZING_OPS, check_graph
from pipeline.threads import available_threads
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets.onnxruntime import OnnxRuntime
from segdistill_runtime.targets.target import read_file

Target = Literal["cpu", "tensorrt"]
UNCLIPPED = 100.0
CPU_OPERATORS = ("Conv", "Add", "Relu", "MaxPool", "Concat")
"""Convolutions and the operators between them, so that values stay int8 from one convolution to the next. Resizing is
not included, in either form: its rounding costs a third of the budget and saves no time (docs/log.md)."""
CONVOLUTIONS = ("Conv",)  # TensorRT itself fuses the operators between them
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


class Quantizer:
    """A quantizer of one fp32 graph for several targets, with ranges that are measured once.

    Args:
        images: calibration images, each uint8 (1, H, W, 3).
        clip_percentile: percentile of a tensor's activations that a range covers; 100 clips nothing.
    """

    def __init__(self, graph: Path, images: Sequence[np.ndarray], clip_percentile: float, scratch: Path):
        scratch.mkdir(parents=True, exist_ok=True)
        self.graph, self.ranges = scratch / "prepared.onnx", scratch / "ranges.json"
        self.ranges.unlink(missing_ok=True)  # may be of another graph or other images
        self.images, self.clip_percentile = images, clip_percentile
        with room_for(self.graph):
            # No fusing and no renaming here: layers are looked up by their names later.
            quant_pre_process(graph, self.graph, skip_optimization=True, skip_symbolic_shape=True)
            self.layers = [node.name for node in onnx.load(self.graph).graph.node if node.op_type == "Conv"]
        self.opset = next(entry.version for entry in onnx.load(graph).opset_import if not entry.domain)

    def quantize(self, target: Target, float_layers: Iterable[str], out: Path) -> None:
        """Write the graph in int8, except the layers in `float_layers`."""
        with replacing(out) as temporary:
            if target == "cpu":
                self._quantize(QuantType.QUInt8, CPU_OPERATORS, float_layers, temporary, {})
            else:
                self._quantize(QuantType.QInt8, CONVOLUTIONS, float_layers, temporary, SYMMETRIC)
                onnx.save(convert_float_to_float16(onnx.load(temporary), keep_io_types=True), temporary)
            check_graph(temporary, self.opset, ALLOWED_OPS | QUANTIZING_OPS)

    def quantize_alone(self, layer: str, out: Path) -> None:
        """Write the graph with one layer in int8, as for CPUs, and everything else in floating point."""
        others = [other for other in self.layers if other != layer]
        with replacing(out) as temporary:
            self._quantize(QuantType.QUInt8, CONVOLUTIONS, others, temporary, {})

    def _quantize(
        self, activations: QuantType, operators: Sequence[str], float_layers: Iterable[str], out: Path,
        options: Mapping[str, object],
    ) -> None:  # fmt: skip
        clipped = self.clip_percentile < UNCLIPPED
        clipping = {"CalibPercentile": self.clip_percentile} if clipped else {}
        logging.getLogger().setLevel(logging.ERROR)  # it recommends steps that are already done
        try:
            with room_for(self.graph):
                quantize_static(
                    self.graph, out, _Reader(self.images), quant_format=QuantFormat.QDQ, per_channel=True,
                    op_types_to_quantize=list(operators), nodes_to_exclude=list(float_layers),
                    activation_type=activations, weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.Percentile if clipped else CalibrationMethod.MinMax,
                    calibration_cache_path=self.ranges,
                    extra_options={**options, "CalibTensorRangeSymmetric": False, **clipping},
                )  # fmt: skip
        finally:
            self.graph.with_stem(f"{self.graph.stem}-inferred").unlink(missing_ok=True)  # remains if it fails
        model = onnx.load(out)
        model.ir_version = IR_VERSION
        onnx.save(model, out)


def open_quantized(graph: Path, target: Target) -> Runner:
    """Open a quantized graph on this machine's CPU, whatever target it is made for."""
    # With float16 between the convolutions, the scale of a quantized bias underflows: do not quantize biases.
    disabled = ["WeightBiasQuantization"] if target == "tensorrt" else []
    return OnnxRuntime().open(str(graph), read_file, available_threads(), disabled)


class _Reader(CalibrationDataReader):
    def __init__(self, images: Sequence[np.ndarray]):
        self.feeds = iter([{"image": image} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[reportIncompatibleMethodOverride]: theirs is untyped
        return next(self.feeds, None)
