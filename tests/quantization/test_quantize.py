"""int8 graphs of a toy run through ONNX Runtime's quantizer: what they hold, what stays in float, what is recorded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pipeline.code_digest import ROOT
from pipeline.data.samples import read_samples
from pipeline.deploy.export import export_run
from pipeline.deploy.layer_outputs import first_divergence
from pipeline.deploy.onnx_rules import QUANTIZING_OPS
from pipeline.params.deployment import BudgetParams, FineTuningParams, QuantizationParams
from pipeline.params.runs import RunParams
from pipeline.params.tree import load_params
from pipeline.quantization.layer_choice import LayerSensitivity, choose_layers
from pipeline.quantization.quantize import Inputs, quantize_run
from pipeline.quantization.quantizer import Quantizer, open_quantized
from pipeline.records.artifacts import LayerLoss
from pipeline.training.fabric import launch
from pipeline.training.finished import dvc_name
from tests.toy import TOY_CLASSES, toy_pair, toy_training
from tests.toy_run import EXPORT, HALF_BUDGET, NO_BUDGET, PARITY, RESIZING, write_toy_run

IMPOSSIBLE = BudgetParams(
    min_pixel_agreement=1.0, min_boundary_agreement=1.0, max_miou_lost_points=1e-9, max_class_lost_points=1e-9
)
QUANTIZATION = QuantizationParams(
    calibration_images=8, clip_percentile=100.0, judged_on="val", judged_images=2, judged_share=0.5,
    judge_layers="if_over_budget", max_float_layers=1, fine_tuning=FineTuningParams(iterations=0, learning_rate=1e-3),
)  # fmt: skip
IMAGES = [toy_pair(seed)[0][None] for seed in range(200, 208)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_toy_run("pspnet", tmp_path_factory.mktemp("quantize"), iterations=15)
    export_run(
        "toy", replace(EXPORT, other_shapes=[]), replace(PARITY, fp16=NO_BUDGET), "test", folder / "classes.json",
        folder / "samples.csv", folder / "checkpoint.safetensors", folder / "predictions", folder / "export",
        folder / "export.json",
    )  # fmt: skip
    return folder


@pytest.fixture
def quantizer(folder: Path, tmp_path: Path) -> Quantizer:
    return Quantizer(folder / "export/model.onnx", IMAGES, 100.0, tmp_path / "scratch")


def zero_points(path: Path) -> set[int]:
    """Data types of what QuantizeLinear gives for activations."""
    model = onnx.load(path)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {types[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"}


def test_cpus_get_unsigned_activations(quantizer: Quantizer, tmp_path: Path) -> None:
    quantizer.quantize("cpu", [], tmp_path / "cpu.onnx")
    assert zero_points(tmp_path / "cpu.onnx") == {TensorProto.UINT8}
    model = onnx.load(tmp_path / "cpu.onnx")
    assert (model.ir_version, [(e.domain, e.version) for e in model.opset_import]) == (9, [("", 20)])
    assert (tmp_path / "cpu.onnx").stat().st_size < 0.35 * quantizer.graph.stat().st_size
    with open_quantized(tmp_path / "cpu.onnx", "cpu") as ours, open_quantized(quantizer.graph, "cpu") as theirs:
        agreement = np.mean([(ours.run(image) == theirs.run(image)).mean() for image in IMAGES])
    assert agreement > 0.9


def test_tensorrt_gets_symmetric_signed_ones_and_half_around_them(quantizer: Quantizer, tmp_path: Path) -> None:
    quantizer.quantize("tensorrt", [], tmp_path / "trt.onnx")
    model = onnx.load(tmp_path / "trt.onnx")
    assert zero_points(tmp_path / "trt.onnx") == {TensorProto.INT8}
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_zero_point"):
            assert not onnx.numpy_helper.to_array(tensor).any()
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.name.endswith("_scale")}
    assert kinds == {TensorProto.FLOAT16}
    with open_quantized(tmp_path / "trt.onnx", "tensorrt") as ours, open_quantized(quantizer.graph, "cpu") as theirs:
        agreement = np.mean([(ours.run(image) == theirs.run(image)).mean() for image in IMAGES])
    assert agreement > 0.85


def test_a_layer_stays_in_float_where_it_is_told(quantizer: Quantizer, tmp_path: Path) -> None:
    kept = quantizer.layers[-1]
    quantizer.quantize("cpu", [kept], tmp_path / "cpu.onnx")
    model = onnx.load(tmp_path / "cpu.onnx")
    made_by = {output: node.op_type for node in model.graph.node for output in node.output}
    fed = {n.name: made_by.get(n.input[1], "weights") for n in model.graph.node if n.op_type == "Conv"}
    assert fed[kept] == "weights"
    assert {kind for name, kind in fed.items() if name != kept} == {"DequantizeLinear"}


def test_a_layer_alone_is_all_that_is_rounded(quantizer: Quantizer, tmp_path: Path) -> None:
    """Neither the other convolutions nor what lies between them: every layer would seem to lose what those lose."""
    for layer in quantizer.layers:
        quantizer.quantize_alone(layer, tmp_path / "alone.onnx")
        nodes = onnx.load(tmp_path / "alone.onnx").graph.node
        made_by = {output: node for node in nodes for output in node.output}
        rounded = [n for n in nodes if any(made_by[i].op_type == "DequantizeLinear" for i in n.input if i in made_by)]
        takers = {n.name for n in rounded if n.op_type not in QUANTIZING_OPS}
        assert layer in takers
        assert {n.name for n in nodes if n.op_type == "Conv"} & takers == {layer}
        kinds = [n.op_type for n in nodes]
        assert kinds.count("QuantizeLinear") <= 2  # the layer's input and output


def test_quantizing_twice_gives_the_same_bytes(quantizer: Quantizer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantizer.quantize("cpu", [], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def _sensitivity(folder: Path) -> LayerSensitivity:
    return LayerSensitivity(
        read_samples(folder / "samples.csv", "val"), TOY_CLASSES, 2, folder / "export/model.onnx", RESIZING
    )


def test_dark_calibration_is_caught_by_the_sensitivity(folder: Path, tmp_path: Path) -> None:
    """Ranges of images six times too dark clip everything: the budget must not hold."""
    dark = [image // 6 for image in IMAGES]
    sensitivity = _sensitivity(folder)
    poor = Quantizer(folder / "export/model.onnx", dark, 100.0, tmp_path / "dark")
    choice = choose_layers(poor, "cpu", sensitivity, HALF_BUDGET, 0, list, tmp_path / "poor.onnx")
    good = Quantizer(folder / "export/model.onnx", IMAGES, 100.0, tmp_path / "good")
    better = choose_layers(good, "cpu", sensitivity, HALF_BUDGET, 0, list, tmp_path / "good.onnx")
    assert choice.parity.pixel_agreement < better.parity.pixel_agreement
    assert not choice.within_budget


def test_layers_are_judged_one_by_one_dearest_first(folder: Path, quantizer: Quantizer) -> None:
    sensitivity = _sensitivity(folder)
    layers = sensitivity.of_layers(quantizer, "toy")
    assert {layer.name for layer in layers} == set(quantizer.layers)
    assert [layer.lost_points for layer in layers] == sorted((layer.lost_points for layer in layers), reverse=True)


def test_layers_are_left_out_in_the_order_of_their_price(folder: Path, quantizer: Quantizer, tmp_path: Path) -> None:
    sensitivity = _sensitivity(folder)
    asked: list[int] = []

    def dearest() -> list[LayerLoss]:
        asked.append(1)
        return [LayerLoss(name=name, lost_points=1.0) for name in reversed(quantizer.layers)]

    within = choose_layers(quantizer, "cpu", sensitivity, NO_BUDGET, 3, dearest, tmp_path / "within.onnx")
    assert (within.float_layers, within.within_budget, asked) == ([], True, [])
    beyond = choose_layers(quantizer, "cpu", sensitivity, IMPOSSIBLE, 2, dearest, tmp_path / "beyond.onnx")
    assert not beyond.within_budget
    assert len(asked) == 2
    assert beyond.float_layers in ([], [quantizer.layers[-1]], list(quantizer.layers[:-3:-1]))
    for choice, graph in ((within, "within.onnx"), (beyond, "beyond.onnx")):
        quantizer.quantize("cpu", choice.float_layers, tmp_path / "again.onnx")
        assert (tmp_path / graph).read_bytes() == (tmp_path / "again.onnx").read_bytes()


def toy_baseline(**changes: object) -> RunParams:
    return replace(load_params(ROOT / "params.yaml").runs["pspnet_r18"], **changes)  # type: ignore[arg-type]


def quantize_toy(folder: Path, out: Path, quantization: QuantizationParams, int8: BudgetParams) -> dict:
    inputs = Inputs(
        name="toy", run=toy_baseline(), methods={}, training=toy_training(decoded_gib=0.0, devices=2), code="",
        quantization=quantization, parity=replace(PARITY, int8=int8), export=EXPORT, split="test",
        classes=folder / "classes.json", samples=folder / "samples.csv",
        statistics=folder / "statistics.json", teacher=folder / "none",
        checkpoint=folder / "checkpoint.safetensors", graph=folder / "export/model.onnx",
        predictions=folder / "predictions", scratch=out / "scratch",
    )  # fmt: skip
    quantize_run(inputs, out / "int8", out / "metrics.json")
    return json.loads((out / "metrics.json").read_text())


def test_within_budget_nothing_further_is_tried(folder: Path, tmp_path: Path) -> None:
    metrics = quantize_toy(folder, tmp_path, QUANTIZATION, NO_BUDGET)
    assert (metrics["layers"], metrics["fine_tuned"], metrics["calibration"]["images"]) == ([], False, 8)
    cpu, trt, on_openvino = metrics["artifacts"]
    assert (cpu["file"], cpu["runtimes"], cpu["status"]) == ("model_int8.onnx", ["onnxruntime"], "accepted")
    assert (on_openvino["sha256"], on_openvino["runtimes"]) == (cpu["sha256"], ["openvino"])
    assert (on_openvino["parity"]["runtime"], on_openvino["status"]) == ("openvino", "accepted")
    assert (trt["file"], trt["runtimes"], trt["status"]) == ("model_int8_tensorrt.onnx", ["tensorrt"], "accepted")
    assert all((tmp_path / "int8" / graph["file"]).is_file() for graph in metrics["artifacts"])
    assert (tmp_path / "int8/calibration.csv").is_file()


@pytest.mark.slow
def test_over_budget_it_is_trained_on_and_then_rejected_with_the_layer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []
    monkeypatch.setattr(
        "pipeline.quantization.fine_tuning.launch", lambda *asked: launched.append(asked) or launch(1, *asked[1:])
    )
    tuned = replace(QUANTIZATION, max_float_layers=0, fine_tuning=FineTuningParams(iterations=2, learning_rate=1e-4))
    metrics = quantize_toy(folder, tmp_path, tuned, IMPOSSIBLE)
    assert launched == [(1, "fp32", False)]  # further processes would repeat the stage, whatever training.devices says
    for graph in metrics["artifacts"]:
        assert graph["status"] == "rejected"
        layers = [node.name for node in onnx.load(tmp_path / "int8" / graph["file"]).graph.node]
        named = any(f"{layer} " in graph["reason"] for layer in layers)
        assert named == (graph["runtimes"] != ["openvino"])
    (state,) = (tmp_path / "scratch/toy.int8").glob("*/result.txt")
    assert dvc_name(tmp_path / "int8") in state.read_text()


def test_judged_images_may_lose_a_share_of_the_points(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And everything else as the budget says; the evaluation split is judged by the budget itself."""
    given: list[BudgetParams] = []

    def watched(quantizer, target, sensitivity, budget, *others):
        given.append(budget)
        return choose_layers(quantizer, target, sensitivity, budget, *others)

    monkeypatch.setattr("pipeline.quantization.quantize.choose_layers", watched)
    budget = replace(NO_BUDGET, max_miou_lost_points=80.0, max_class_lost_points=90.0)
    metrics = quantize_toy(folder, tmp_path, replace(QUANTIZATION, judged_share=0.25), budget)
    assert given == [replace(budget, max_miou_lost_points=20.0, max_class_lost_points=22.5)] * 2
    assert {graph["status"] for graph in metrics["artifacts"]} == {"accepted"}


def test_rounding_is_no_divergence(folder: Path, quantizer: Quantizer, tmp_path: Path) -> None:
    """A Relu that the rounding does is missing in the quantized graph: what is compared is the rounded tensor."""
    quantizer.quantize("cpu", [], tmp_path / "cpu.onnx")
    assert first_divergence(quantizer.graph, tmp_path / "cpu.onnx", IMAGES[0], 0.5).relative_error < 0.5
