"""Export, engines, parity and bundles on a toy network, through the real exporters and runtimes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from models.checkpoint import load_checkpoint, save_checkpoint
from models.shipping import LabelsGraph, LogitsGraph, to_half
from pipeline.data.images import read_image
from pipeline.data.samples import Sample, read_samples
from pipeline.deploy.engine import EngineError, build_engines, held_types
from pipeline.deploy.export import largest_logit_difference
from pipeline.deploy.onnx_export import ExportError, check_graph, export_checkpoint_graphs, export_graph, precision_of
from pipeline.deploy.release import BUNDLE, ReleaseError, manifest, preprocessing_contract, provenance
from pipeline.measure.evaluate import predict, score_predictions
from pipeline.measure.parity import Parity, ParityError, measure_parity, require_parity, require_size
from pipeline.params import ExportParams
from pipeline.runtime import RunnerUnavailable, UnknownArtifact, open_runner
from pipeline.runtime.onnx_runner import OnnxRunner
from tests.toy import TOY_CLASSES, toy_segmenter, write_toy_samples

SIZE = (48, 64)
LIMITS = ExportParams(
    height=48, width=64, opset=20, max_nodes=200, logit_images=2, max_logit_difference=1e-3, min_pixel_agreement=0.9999,
    max_miou_difference_points=0.01,
)  # fmt: skip


@pytest.fixture(scope="module", params=["pspnet", "deeplabv3"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoint.safetensors, model.onnx and logits.onnx of one untrained network."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    segmenter, design = toy_segmenter(request.param)
    save_checkpoint(segmenter, design, {"backbone_weights": "none"}, folder / "checkpoint.safetensors")
    segmenter, design, _ = load_checkpoint(folder / "checkpoint.safetensors")
    export_checkpoint_graphs(segmenter, design, SIZE, 20, 200, folder)
    return folder


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return read_samples(write_toy_samples(tmp_path / "toy"))


def test_the_file_is_what_we_ship(exported: Path) -> None:
    model = onnx.load(exported / "model.onnx")
    assert [(e.domain, e.version) for e in model.opset_import] == [("", 20)]
    assert model.ir_version == 9
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["labels"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert precision_of(model) == {"FLOAT"}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    names = json.loads({p.key: p.value for p in model.metadata_props}["segdistill.classes"])
    assert names == TOY_CLASSES.names
    assert b".py" not in (exported / "model.onnx").read_bytes()


def test_onnx_does_what_the_checkpoint_does(exported: Path, samples: list[Sample], tmp_path: Path) -> None:
    with open_runner(exported / "checkpoint.safetensors", 1) as runner:
        predict(runner, samples, 4, tmp_path / "predictions", "toy")
    with open_runner(exported / "model.onnx", 1) as runner:
        parity = measure_parity(runner, samples, tmp_path / "predictions", TOY_CLASSES, "toy")
    assert parity.images == len(samples)
    assert parity.pixel_agreement >= 0.9999
    require_parity(parity, "toy", 0.9999, 0.01)
    confusion, rows = score_predictions(samples, tmp_path / "predictions", TOY_CLASSES)
    assert parity.reference_miou == confusion.miou()
    assert len(rows) == len(samples)
    segmenter, _, _ = load_checkpoint(exported / "checkpoint.safetensors")
    assert largest_logit_difference(segmenter, exported / "logits.onnx", samples) < 1e-4


def test_labels_are_the_argmax_of_the_logits(exported: Path, samples: list[Sample]) -> None:
    image = read_image(samples[0].image)[None]
    with OnnxRunner(exported / "model.onnx", 1) as labels, OnnxRunner(exported / "logits.onnx", 1) as logits:
        assert (labels.run(image) == logits.run(image).argmax(axis=1)).mean() > 0.9999


def test_half_precision_exports_and_agrees(exported: Path, samples: list[Sample], tmp_path: Path) -> None:
    segmenter, design, _ = load_checkpoint(exported / "checkpoint.safetensors")
    model = export_graph(LabelsGraph(to_half(segmenter)), design, SIZE, 20, 200, tmp_path / "half.onnx")
    assert "FLOAT16" in precision_of(model)
    image = read_image(samples[0].image)[None]
    with OnnxRunner(tmp_path / "half.onnx", 1) as half, OnnxRunner(exported / "model.onnx", 1) as full:
        assert (half.run(image) == full.run(image)).mean() > 0.97


def test_a_graph_astray_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nodes, allowed are 10"):
        check_graph(exported / "model.onnx", 20, 10)
    with pytest.raises(ExportError, match=r"operator sets .* asked for ai.onnx 18"):
        check_graph(exported / "model.onnx", 18, 200)
    model = onnx.load(exported / "model.onnx")
    model.graph.node[0].doc_string = "/usr/lib/python3/site-packages/torch/x.py"
    onnx.save(model, tmp_path / "paths.onnx")
    with pytest.raises(ExportError, match="paths of this machine"):
        check_graph(tmp_path / "paths.onnx", 20, 200)


def test_an_export_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    segmenter, design = toy_segmenter()
    with pytest.raises(ExportError):
        export_graph(LogitsGraph(segmenter), design, SIZE, 20, 3, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_parity_blocks_what_disagrees(samples: list[Sample], tmp_path: Path, exported: Path) -> None:
    with open_runner(exported / "checkpoint.safetensors", 1) as runner:
        predict(runner, samples, 4, tmp_path / "predictions", "toy")

    class Wrong:
        name = "wrong"

        def run(self, image: np.ndarray) -> np.ndarray:
            return np.full(image.shape[:3], 2, np.uint8)

    parity = measure_parity(Wrong(), samples, tmp_path / "predictions", TOY_CLASSES, "toy")  # type: ignore[arg-type]
    with pytest.raises(ParityError, match=r"toy disagrees with its source: .*worst image toy_\d"):
        require_parity(parity, "toy", 0.9999, 0.01)
    close = Parity(
        images=1, pixel_agreement=0.9, worst_image="a", worst_agreement=0.9, reference_miou=0.5, miou=0.5001,
        miou_difference_points=0.01,
    )  # fmt: skip
    require_parity(close, "toy", None, 0.05)


def test_images_of_another_size_are_refused(samples: list[Sample]) -> None:
    with pytest.raises(ParityError, match=r"has 48x64 pixels, the exported graph takes 50x64; set export.height"):
        require_size(samples, 50, 64)


def test_an_engine_is_built_without_a_gpu(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    rtx, full = build_engines(exported / "model.onnx", "fp32", ["SM86", "SM120"], tmp_path)
    assert (rtx.status, rtx.compute_capabilities) == ("built", ["SM86", "SM120"])
    data = (tmp_path / rtx.file).read_bytes()
    assert data[:4] == b"vtrt"
    assert len(data) == rtx.bytes
    assert {"float", "uint8"} <= held_types(data)
    assert b"sm86 sm120" in data
    if not torch.cuda.is_available():
        assert not rtx.executed
        assert "no GPU" in rtx.reason
        assert full.status == "not built"
        assert full.reason
        with pytest.raises(RunnerUnavailable, match="needs a GPU"):
            open_runner(tmp_path / rtx.file, 1)


def test_a_graph_that_the_builder_refuses_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    node = onnx.helper.make_node("NoSuchOp", ["x"], ["y"], domain="nobody")
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in ("x", "y")]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "bad.onnx")
    with pytest.raises(EngineError, match="cannot read"):
        build_engines(tmp_path / "bad.onnx", "fp32", ["SM86"], tmp_path)
    assert not list(tmp_path.glob("*.engine"))


@pytest.mark.parametrize(
    ("name", "complaint"), [("x.onnx", "ONNX Runtime can load"), ("x.engine", "does not begin like")]
)
def test_rubbish_is_no_artifact(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(UnknownArtifact, match=complaint):
        open_runner(tmp_path / name, 1)


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes((exported / "model.onnx").read_bytes())
    (folder / "predict.py").write_bytes((BUNDLE / "predict.py").read_bytes())
    TOY_CLASSES.save(folder / "classes.json")
    (folder / "preprocessing.json").write_text(json.dumps(preprocessing_contract(LIMITS)))
    (folder / "manifest.json").write_text(json.dumps(manifest("toy", folder)))
    return folder


def _predict(bundle: Path, image: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(bundle / "predict.py"), str(image), "--labels", "labels.png"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_bundle_predicts_alone(bundle: Path, samples: list[Sample], tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    Image.open(samples[0].image).resize((200, 150)).save(large)
    done = _predict(bundle, large, tmp_path)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "large_overlay.png").size == (200, 150)
    assert set(np.unique(np.array(Image.open(tmp_path / "labels.png")))) <= {0, 1, 2}

    assert _predict(bundle, samples[0].image, tmp_path).returncode == 0
    with OnnxRunner(bundle / "model.onnx", 1) as runner:
        expected = runner.run(read_image(samples[0].image)[None])[0]
    assert (np.array(Image.open(tmp_path / "labels.png")) == expected).mean() > 0.9999


def test_a_tampered_bundle_is_refused_before_the_model_is_opened(
    bundle: Path, samples: list[Sample], tmp_path: Path
) -> None:
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"x")
    done = _predict(bundle, samples[0].image, tmp_path)
    assert done.returncode == 1
    assert "is not the file that was released" in done.stderr
    assert "Traceback" not in done.stderr


def test_provenance_needs_a_lock_that_knows_the_run(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="without it nobody could say"):
        provenance(tmp_path / "dvc.lock", "a")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare: {cmd: x}\n")
    with pytest.raises(ReleaseError, match="does not know the stages curate, teacher, student@a"):
        provenance(tmp_path / "dvc.lock", "a")
