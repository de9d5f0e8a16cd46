"""A network of two convolutions in every precision, written by hand: enough for builders, and there at once."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

HEIGHT, WIDTH = 16, 24
FILES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8_tensorrt.onnx"}


def tiny_image(seed: int) -> np.ndarray:
    """uint8 (1, H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)


def write_tiny_graphs(folder: Path) -> dict[str, Path]:
    """model.onnx, model_fp16.onnx and model_int8_tensorrt.onnx, by precision."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {precision: folder / name for precision, name in FILES.items()}
    onnx.save(_fp32(), files["fp32"])
    onnx.save(convert_float_to_float16(_fp32(), keep_io_types=True), files["fp16"])
    quantize_static(
        files["fp32"], files["int8"], _Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )  # fmt: skip
    onnx.save(convert_float_to_float16(onnx.load(files["int8"]), keep_io_types=True), files["int8"])
    return files


class _Images(CalibrationDataReader):
    def __init__(self) -> None:
        self.waiting = iter(range(4))

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        seed = next(self.waiting, None)
        return None if seed is None else {"image": tiny_image(seed)}


def _fp32() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = {
        "scale": np.float32(1 / 255),
        "w1": random.normal(size=(16, 3, 3, 3)).astype(np.float32),
        "b1": random.normal(size=16).astype(np.float32),
        "w2": random.normal(size=(4, 16, 1, 1)).astype(np.float32),
        "b2": random.normal(size=4).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1", "b1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="second"),
        helper.make_node("ArgMax", ["c2"], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["labels"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, HEIGHT, WIDTH])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
