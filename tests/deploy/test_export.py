"""Export and what it proves, on a toy network, through the real exporter and ONNX Runtime."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import heads
from models.build import build_segmenter
from models.checkpoint import load_checkpoint, save_checkpoint
from models.export_wrappers import LabelsGraph, LogitsGraph
from models.resize import pool_to_bins
from pipeline.data.images import read_image
from pipeline.data.samples import Sample, read_samples
from pipeline.deploy.export import export_run
from pipeline.deploy.onnx_export import export_graph
from pipeline.deploy.onnx_rules import ALLOWED_OPS, check_graph
from pipeline.errors import ArtifactError
from pipeline.params.deployment import ExportParams
from pipeline.preflight.networks import TESTED_BACKBONES, TESTED_HEADS
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.errors import FileRefused
from segdistill_runtime.runner import InputShape
from tests.raising import raises
from tests.toy import TOY_CLASSES, TOY_DESIGN, toy_segmenter
from tests.toy_run import EXPORT, NO_BUDGET, PARITY, WIDTH, write_toy_run

ONE_SHAPE = replace(EXPORT, other_shapes=[])


def export_toy(folder: Path, export: ExportParams = EXPORT, **changes: object) -> dict:
    """Run the stage's function on a toy run's folder; returns the metrics."""
    export_run(
        "toy", export, replace(PARITY, **changes), "test", folder / "classes.json", folder / "samples.csv",  # type: ignore[arg-type]
        folder / "checkpoint.safetensors", folder / "predictions", folder / "export", folder / "metrics.json",
    )  # fmt: skip
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module", params=["pspnet", pytest.param("deeplabv3", marks=pytest.mark.slow)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_toy_run(request.param, tmp_path_factory.mktemp(request.param))
    export_toy(folder)
    return folder


@pytest.fixture
def samples(exported: Path) -> list[Sample]:
    return read_samples(exported / "samples.csv", "test")


def precisions(model: onnx.ModelProto) -> set[str]:
    """Types of the floating-point weights."""
    types = [onnx.TensorProto.DataType.Name(weights.data_type) for weights in model.graph.initializer]
    return {name for name in types if "FLOAT" in name}


def test_the_file_is_what_we_ship(exported: Path) -> None:
    model = onnx.load(exported / "export/model.onnx")
    assert [(e.domain, e.version) for e in model.opset_import] == [("", 20)]
    assert model.ir_version == 9
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["labels"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert precisions(model) == {"FLOAT"}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    names = json.loads({p.key: p.value for p in model.metadata_props}["segdistill.classes"])
    assert names == TOY_CLASSES.names
    del model.graph.initializer[:]  # random weights hold any three letters
    assert b".py" not in model.SerializeToString()


def test_nodes_have_the_names_of_layers(exported: Path) -> None:
    names = [node.name for node in onnx.load(exported / "export/model.onnx").graph.node]
    assert len(set(names)) == len(names)
    assert "head.classifier.conv/Conv" in names
    assert {"graph/Cast", "graph/Sub", "graph/ArgMax"} <= set(names)


def test_the_normalization_costs_one_node(exported: Path) -> None:
    before = []
    for node in onnx.load(exported / "export/model.onnx").graph.node:
        if node.op_type == "Conv":
            break
        before.append(node.op_type)
    assert sorted(before) == ["Cast", "Sub", "Transpose"]


def test_the_shipping_graph_is_the_segmenter(exported: Path, samples: list[Sample]) -> None:
    """The normalization in the first convolution's weights: the same scores up to rounding, padding included."""
    segmenter, _, _ = load_checkpoint(exported / "checkpoint.safetensors")
    image = torch.from_numpy(read_image(samples[0].image)[None])
    with torch.no_grad():
        logits = segmenter(image.permute(0, 3, 1, 2).float() / 255).logits
        expected = torch.nn.functional.interpolate(logits, size=image.shape[1:3], mode="bilinear")
        found = LogitsGraph(segmenter)(image)
        again = LogitsGraph(segmenter)(image)  # the segmenter itself stays as it was
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert torch.equal(found, again)
    assert segmenter.auxiliary_head is not None


def test_metrics_say_what_was_proved(exported: Path, samples: list[Sample]) -> None:
    metrics = json.loads((exported / "metrics.json").read_text())
    full, half, on_openvino = metrics["artifacts"]
    assert (full["file"], full["precision"], full["status"], full["reason"]) == ("model.onnx", "fp32", "accepted", "")
    assert (half["file"], half["precision"], half["status"]) == ("model_fp16.onnx", "fp16", "accepted")
    assert (full["runtimes"], full["parity"]["runtime"]) == (["onnxruntime", "tensorrt"], "onnxruntime")
    assert (on_openvino["file"], on_openvino["sha256"]) == ("model.onnx", full["sha256"])
    assert (on_openvino["runtimes"], on_openvino["parity"]["runtime"]) == (["openvino"], "openvino")
    assert on_openvino["parity"]["pixel_agreement"] >= 0.9999
    assert full["parity"]["images"] == on_openvino["parity"]["images"] == len(samples)
    assert full["parity"]["pixel_agreement"] >= 0.9999
    assert metrics["max_logit_difference"] < 1e-4
    assert 0 < metrics["activations"]["magnitude"] < metrics["activations"]["limit_of_fp16"]
    assert metrics["nodes"] == len(onnx.load(exported / "export/model.onnx").graph.node)


def test_the_mean_is_subtracted_by_rows(exported: Path) -> None:
    """Three numbers, over and over, cost ONNX Runtime a twentieth of an int8 network's time (docs/log.md)."""
    model = onnx.load(exported / "export/model.onnx")
    shapes = {weights.name: list(weights.dims) for weights in model.graph.initializer}
    assert [shapes[node.input[1]] for node in model.graph.node if node.op_type == "Sub"] == [[WIDTH, 3]]


def test_labels_are_the_argmax_of_the_logits(exported: Path, samples: list[Sample]) -> None:
    image = read_image(samples[0].image)[None]
    folder = exported / "export"
    with open_artifact(folder / "model.onnx", 1) as labels, open_artifact(folder / "logits.onnx", 1) as logits:
        assert (labels.run(image) == logits.run(image).argmax(axis=1)).mean() > 0.9999


def test_half_precision_is_half_as_large_and_agrees(exported: Path, samples: list[Sample]) -> None:
    folder, image = exported / "export", read_image(samples[0].image)[None]
    assert precisions(onnx.load(folder / "model_fp16.onnx")) == {"FLOAT16"}
    assert (folder / "model_fp16.onnx").stat().st_size < 0.6 * (folder / "model.onnx").stat().st_size
    with open_artifact(folder / "model_fp16.onnx", 1) as half, open_artifact(folder / "model.onnx", 1) as full:
        assert (half.run(image) == full.run(image)).mean() > 0.97


def test_other_shapes_are_the_same_network(exported: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 80, 3), dtype=np.uint8)
    with open_artifact(exported / "export/model_2x32x80.onnx", 1) as runner:
        found = runner.run(images)
    with open_artifact(exported / "checkpoint.safetensors", 1) as runner:
        assert (runner.run(images) == found).mean() > 0.999


@pytest.mark.slow
def test_activations_beyond_float16_reject_that_graph_alone(tmp_path: Path) -> None:
    folder = write_toy_run("pspnet", tmp_path, iterations=1)
    segmenter, design, facts = load_checkpoint(folder / "checkpoint.safetensors")
    with torch.no_grad():
        segmenter.head.fuse[1].weight.mul_(1e7)  # type: ignore[index]: a BatchNorm's scale, undone by the classifier
        segmenter.classifier.weight.div_(1e7)
    save_checkpoint(segmenter, design, facts, folder / "checkpoint.safetensors")
    full, half, _ = export_toy(folder, ONE_SHAPE, fp16=NO_BUDGET, onnx_fp32=NO_BUDGET)["artifacts"]
    assert full["status"] == "accepted"
    assert half["status"] == "rejected"
    assert "float16" in half["reason"]
    assert "head.fuse" in half["reason"]


@pytest.mark.slow
def test_a_checkpoint_that_the_file_does_not_follow_blocks_and_names_the_layer(tmp_path: Path) -> None:
    """The predictions are another network's: every layer computes something else."""
    folder = write_toy_run("pspnet", tmp_path)
    write_toy_run("pspnet", tmp_path / "other", iterations=2)
    (tmp_path / "other/predictions").rename(folder / "theirs")
    for file in (folder / "theirs").iterdir():
        file.replace(folder / "predictions" / file.name)
    with raises(ArtifactError, "toy", "model.onnx") as caught:
        export_toy(folder, ONE_SHAPE)
    layers = [node.name for node in onnx.load(folder / "export/model.onnx").graph.node]
    assert any(f"{layer} " in str(caught.value) for layer in layers)


@pytest.mark.slow
def test_logits_that_differ_block(tmp_path: Path) -> None:
    folder = write_toy_run("pspnet", tmp_path, iterations=1)
    with raises(ArtifactError, "toy", "logits.onnx", "1e-12", "export.max_logit_difference"):
        export_toy(folder, replace(ONE_SHAPE, max_logit_difference=1e-12))


def test_a_graph_astray_is_refused(exported: Path, tmp_path: Path) -> None:
    path = exported / "export/model.onnx"
    with raises(ArtifactError, "'ai.onnx': 20", "ai.onnx 18"):
        check_graph(path, 18, ALLOWED_OPS)
    with raises(ArtifactError, "ArgMax"):
        check_graph(path, 20, ALLOWED_OPS - {"ArgMax"})
    model = onnx.load(path)
    model.graph.node[0].doc_string = "/usr/lib/python3/site-packages/torch/x.py"
    onnx.save(model, tmp_path / "paths.onnx")
    with raises(ArtifactError, "/site-packages/"):
        check_graph(tmp_path / "paths.onnx", 20, ALLOWED_OPS)


def pool_in_a_loop(maps: Tensor, bins: int) -> Tensor:
    """Adaptive pooling as many write it: a mean for each bin, here where there are many."""
    if bins < 6:
        return pool_to_bins(maps, bins)
    height, width = (torch.linspace(0, side, bins + 1).round().int().tolist() for side in maps.shape[-2:])
    rows = [
        torch.cat([maps[..., a : b + 1, c : d + 1].mean((2, 3), keepdim=True) for c, d in pairwise(width)], dim=3)
        for a, b in pairwise(height)
    ]
    return torch.cat(rows, dim=2)


@pytest.mark.parametrize("pool", [pytest.param(pool_in_a_loop, marks=pytest.mark.slow), F.adaptive_avg_pool2d])
def test_an_exploded_graph_is_refused_and_leaves_nothing(
    pool: Callable[[Tensor, int], Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop of Python, and what PyTorch's exporter makes of pooling to bins that do not divide the map: gathers."""
    monkeypatch.setattr(heads, "pool_to_bins", pool)
    segmenter, design = toy_segmenter()
    with pytest.raises(ArtifactError):
        export_graph(LabelsGraph(segmenter), design, InputShape(1, 112, 144), 20, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "nodes"), [("efficientnet_b0", 200), ("resnet101", 200), ("regnety_004", 200), ("convnext_atto", 150)]
)
def test_a_deep_network_has_many_nodes_and_exports(backbone: str, nodes: int, tmp_path: Path) -> None:
    design = replace(TOY_DESIGN, backbone=backbone, output_stride=32)
    graph = LabelsGraph(build_segmenter(design))
    export_graph(graph, design, InputShape(1, 48, 64), 20, tmp_path / "model.onnx")
    assert len(onnx.load(tmp_path / "model.onnx").graph.node) > nodes


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(TESTED_BACKBONES))
@pytest.mark.parametrize("architecture", sorted(TESTED_HEADS))
def test_what_preflight_does_not_try_exports(architecture: str, backbone: str, tmp_path: Path) -> None:
    stride = 32 if architecture == "ladder" else 16
    design = replace(TOY_DESIGN, architecture=architecture, backbone=backbone, output_stride=stride)
    segmenter = build_segmenter(design).eval()
    export_graph(LabelsGraph(segmenter), design, InputShape(1, 48, 64), 20, tmp_path / "model.onnx")
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    with open_artifact(tmp_path / "model.onnx", 1) as runner, torch.no_grad():
        expected = LabelsGraph(segmenter)(torch.from_numpy(image)).numpy()
        assert (runner.run(image) == expected).mean() > 0.99


def test_rubbish_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"rubbish")
    with raises(FileRefused, tmp_path / "x.onnx", "ONNX"):
        open_artifact(tmp_path / "x.onnx", 1)
