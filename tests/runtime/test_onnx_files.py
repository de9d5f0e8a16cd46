"""ONNX files that must not be run, and what ONNX Runtime's profiler says of one that may."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from models.export_wrappers import LabelsGraph
from pipeline.deploy.onnx_export import export_graph
from pipeline.measure.nodes import NodeTime, kernel_times, node_times, postprocessing
from pipeline.quantization.quantizer import open_quantized
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.errors import FileRefused, Refused
from segdistill_runtime.runner import InputShape
from tests.raising import raises
from tests.toy import toy_pair, toy_segmenter

on_both = pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])


@on_both
@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(files: Path, tmp_path: Path, runtime: str, kept: float) -> None:
    data = (files / "model.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with raises(FileRefused, tmp_path / "cut.onnx", "ONNX") as caught:
        open_artifact(tmp_path / "cut.onnx", 1, runtime)
    assert not any(name in str(caught.value) for name in ("ONNX Runtime", "OpenVINO"))  # neither saw it


def test_a_flipped_bit_is_refused_or_changes_numbers_alone(files: Path, tmp_path: Path) -> None:
    """Never anything but our own error. Numbers that changed are what hashes are for."""
    data, random = (files / "model.onnx").read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in [*range(40), *random.integers(len(data), size=20)]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(random.integers(8))
        (tmp_path / "flipped.onnx").write_bytes(damaged)
        try:
            with open_artifact(tmp_path / "flipped.onnx", 1) as runner:
                runner.run(toy_pair(0)[0][None])
        except Refused:
            refused += 1
    assert refused > 5


@on_both
@pytest.mark.parametrize("location", ["weights.bin", "../../elsewhere/weights.bin", "/etc/hostname"])
def test_weights_in_another_file_are_refused(files: Path, tmp_path: Path, runtime: str, location: str) -> None:
    model = onnx.load(files / "model.onnx")
    tensor = next(tensor for tensor in model.graph.initializer if len(tensor.raw_data) > 1000)
    onnx.external_data_helper.set_external_data(tensor, location)
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    (tmp_path / "split.onnx").write_bytes(model.SerializeToString())
    with raises(FileRefused, tmp_path / "split.onnx", "external data"):
        open_artifact(tmp_path / "split.onnx", 1, runtime)


def _copier(path: Path, name: str, kind: int, shape: list[int | str]) -> Path:
    """A graph that gives back what it takes."""
    ends = [helper.make_tensor_value_info(end, kind, shape) for end in (name, "labels")]
    graph = helper.make_graph([helper.make_node("Identity", [name], ["labels"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


@on_both
@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("picture", TensorProto.UINT8, [1, 48, 64, 3]),
        ("image", TensorProto.FLOAT, [1, 48, 64, 3]),
        ("image", TensorProto.UINT8, [1, 48, 64]),
        ("image", TensorProto.UINT8, [1, 3, 48, 64]),
        ("image", TensorProto.UINT8, ["batch", 48, 64, 3]),
    ],
)
def test_another_input_is_refused(tmp_path: Path, runtime: str, name: str, kind: int, shape: list[int | str]) -> None:
    found = f"{name} {'uint8' if kind == TensorProto.UINT8 else 'float'}"
    with raises(FileRefused, tmp_path / "other.onnx", found, "image uint8"):
        open_artifact(_copier(tmp_path / "other.onnx", name, kind, shape), 1, runtime)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    model = onnx.load(_copier(tmp_path / "two.onnx", "image", TensorProto.UINT8, [1, 48, 64, 3]))
    model.graph.input.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, [3]))
    onnx.save(model, tmp_path / "two.onnx")
    with raises(FileRefused, tmp_path / "two.onnx", "image uint8", "mean float", "[3]"):
        open_artifact(tmp_path / "two.onnx", 1)


class _Images(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = [{"image": toy_pair(seed)[0][None]} for seed in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[reportIncompatibleMethodOverride]
        return self.left.pop() if self.left else None


def _with_small_scales(path: Path) -> None:
    """Export a network in which one convolution is 2000 times too small and the next one makes up for it."""
    torch.manual_seed(0)
    segmenter, design = toy_segmenter()
    norm, following = segmenter.backbone.network.conv1[4], segmenter.backbone.network.conv1[6]
    with torch.no_grad():
        norm.bias.normal_()
        for small in (norm.weight, norm.bias):
            small.div_(2000)
        following.weight.mul_(2000)
    export_graph(LabelsGraph(segmenter), design, InputShape(1, 48, 64), 20, path)


@pytest.mark.slow
def test_biases_of_a_file_for_tensorrt_can_be_left_alone(tmp_path: Path) -> None:
    """The scale of a quantized bias is the product of two scales, and here float16 does not hold it."""
    _with_small_scales(tmp_path / "model.onnx")
    quant_pre_process(tmp_path / "model.onnx", tmp_path / "pre.onnx")
    quantize_static(
        tmp_path / "pre.onnx", tmp_path / "int8.onnx", _Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )  # fmt: skip
    onnx.save(convert_float_to_float16(onnx.load(tmp_path / "int8.onnx"), keep_io_types=True), tmp_path / "half.onnx")
    image = toy_pair(9)[0][None]
    with open_artifact(tmp_path / "model.onnx", 1) as full, open_artifact(tmp_path / "half.onnx", 1) as quantized:
        expected, lost = full.run(image), quantized.run(image)
    with open_quantized(tmp_path / "half.onnx", "tensorrt") as runner:
        kept = runner.run(image)
    assert (kept == expected).mean() > 0.97
    assert (lost == expected).mean() < 0.9


def test_the_profiler_tells_what_follows_the_last_convolution(files: Path) -> None:
    nodes = node_times(files / "model.onnx", 1, toy_pair(0)[0][None], 3)
    share = postprocessing(nodes, "fp32", "model.onnx")
    assert share is not None
    assert {"ArgMax", "Cast"} <= set(share.operators)
    assert "Conv" not in share.operators
    assert share.ms > 0
    assert share.share_of_network == pytest.approx(share.ms / share.network_ms)
    assert math.isclose(share.ms + share.network_ms, sum(node.ms for node in nodes))


def test_kernel_times_are_medians_without_the_first_call() -> None:
    def event(name: str, operator: str, microseconds: int) -> dict:
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": {"op_name": operator}}

    other = {"cat": "Session", "name": "model_run", "dur": 10**6, "args": {}}
    first = [event("a", "Conv", 90_000), event("b", "ArgMax", 9_000)]
    later = [event("a", "Conv", 3_000), event("b", "ArgMax", 500), other] * 3
    assert kernel_times([*first, other, *later]) == [NodeTime("a", "Conv", 3.0), NodeTime("b", "ArgMax", 0.5)]


def test_what_comes_between_convolutions_is_the_network() -> None:
    nodes = [
        NodeTime("in", "Cast", 1.0), NodeTime("c", "QLinearConv", 6.0), NodeTime("r", "Resize", 2.0),
        NodeTime("d", "FusedConv", 1.0), NodeTime("up", "Resize", 1.5), NodeTime("out", "ArgMax", 0.5),
    ]  # fmt: skip
    share = postprocessing(nodes, "fp32", "model.onnx")
    assert share is not None
    assert (share.ms, share.network_ms, share.share_of_network) == (2.0, 10.0, 0.2)
    assert list(share.operators) == ["Resize", "ArgMax"]
    late = [*nodes, NodeTime("late", "Cast", -0.1)]
    assert postprocessing(late, "fp32", "model.onnx") is None  # the clock was set back meanwhile
