"""Engines of every precision through the real builder, what is recorded of them, and when there is none."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import torch

from pipeline.code_digest import ROOT
from pipeline.data.files import sha256
from pipeline.deploy.engine import build_engines, build_run_engines, find_source, judge
from pipeline.errors import ArtifactError
from pipeline.measure.parity import engine_budget
from pipeline.params.deployment import EngineParams
from pipeline.params.sections import Precision
from pipeline.params.tree import load_params
from pipeline.records.artifacts import Artifact, Engine
from pipeline.records.files import write_record
from segdistill_runtime import engine_build
from segdistill_runtime.engine_build import build_engine, held_types
from segdistill_runtime.engine_file import description_path
from segdistill_runtime.errors import BuildFailed
from segdistill_runtime.images import Resizing
from segdistill_runtime.targets.tensorrt import TensorRT
from tests.deploy.tiny_graphs import FILES, write_tiny_graphs
from tests.made_records import PARITY as PARITY_MADE
from tests.made_records import made_artifact, made_export, made_quantization
from tests.raising import raises
from tests.toy import write_toy_samples

PARITY = load_params(ROOT / "params.yaml").parity
RESIZING = Resizing(48, 64, "stretch")
CAPABILITIES = ["SM86", "SM89", "SM120"]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_tiny_graphs(tmp_path_factory.mktemp("graphs"))


@pytest.fixture
def rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")


def _build(
    path: Path, precision: Precision, capabilities: list[str], scratch: Path, out: Path, rejected: str = ""
) -> list[Engine]:
    status = "rejected" if rejected else "accepted"
    source = made_artifact(path.name, precision, ["tensorrt"], sha256=sha256(path), status=status, reason=rejected)
    return build_engines(source, path.parent, capabilities, scratch, out)


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize(("precision", "computes_in"), [("fp32", "float"), ("fp16", "half"), ("int8", "int8")])
def test_every_precision_is_built_without_a_gpu(
    graphs: dict[str, Path], precision: Precision, computes_in: str, tmp_path: Path
) -> None:
    built, full = _build(graphs[precision], precision, CAPABILITIES, tmp_path / "scratch", tmp_path / "out")
    assert (built.status, built.compute_capabilities) == ("built", CAPABILITIES)
    plan = (tmp_path / "out" / built.file).read_bytes()
    assert plan[:4] == b"vtrt"
    assert b"sm86 sm89 sm120" in plan
    said = json.loads(description_path(tmp_path / "out" / built.file).read_text())
    assert said["held_types"][computes_in] > 0
    assert ("half" in said["held_types"]) == (precision != "fp32")
    assert ("int8" in said["held_types"]) == (precision == "int8")
    assert (said["bytes"], said["engine_sha256"]) == (len(plan), sha256(tmp_path / "out" / built.file))
    assert (said["source_file"], said["source_sha256"]) == (FILES[precision], sha256(graphs[precision]))
    assert said["inputs"] == [{"name": "image", "shape": [1, 16, 24, 3], "type": "uint8"}]
    assert said["outputs"] == [{"name": "labels", "shape": [1, 16, 24], "type": "uint8"}]
    assert said["timing_cache"] == {}
    if not torch.cuda.is_available():
        assert (built.executed, built.accepted, built.parity) == (False, None, None)
        assert "no GPU" in built.reason
        assert full.status == "not built"
        assert full.reason


@pytest.mark.usefixtures("rtx")
def test_two_builds_are_the_same_bytes(graphs: dict[str, Path], tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    names = {_build(graphs["int8"], "int8", ["SM86"], tmp_path, out)[0].file for out in folders}
    assert len(names) == 1
    for name in (*names, *(f"{name}.json" for name in names)):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.usefixtures("rtx")
def test_engines_that_differ_have_other_names(graphs: dict[str, Path], tmp_path: Path) -> None:
    files = {
        _build(graphs[precision], precision, capabilities, tmp_path, tmp_path)[0].file
        for precision in ("fp32", "fp16")
        for capabilities in (["SM86"], ["SM86", "SM89"])
    }
    assert len(files) == 4
    assert all("tensorrt_rtx" in name and "SM86" in name for name in files)
    assert any(sha256(graphs["fp16"])[:12] in name for name in files)


@pytest.mark.usefixtures("rtx")
def test_a_graph_that_the_builder_refuses_is_explained(tmp_path: Path) -> None:
    node = onnx.helper.make_node("NoSuchOp", ["x"], ["y"], domain="nobody")
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in ("x", "y")]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])), tmp_path / "bad.onnx")
    with raises(ArtifactError, "tensorrt_rtx", "bad.onnx", "NoSuchOp"):
        _build(tmp_path / "bad.onnx", "fp32", ["SM86"], tmp_path / "scratch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("rtx")
def test_a_graph_of_another_precision_is_refused(graphs: dict[str, Path], tmp_path: Path) -> None:
    with raises(ArtifactError, graphs["fp32"].name, "float", "half", "fp16"):
        _build(graphs["fp32"], "fp16", ["SM86"], tmp_path, tmp_path)


@pytest.mark.usefixtures("rtx")
def test_a_gpu_that_cannot_be_built_for_is_named(graphs: dict[str, Path], tmp_path: Path) -> None:
    with raises(ArtifactError, "tensorrt_rtx", "SM87", "SM75", "SM120"):
        _build(graphs["fp32"], "fp32", ["SM86", "SM87"], tmp_path, tmp_path)


def test_scratch_memory_is_no_numeric_type() -> None:
    plan = b"x tensor={ dims={ 1 } type=half }\n tensor={ dims={ 9 } is_scratchspace=1 strides={ 1 } type=int8 }\n rest"
    assert held_types(plan) == {"half": 1}
    assert held_types(b"a plan that says nothing") == {}


def test_what_was_rejected_is_not_built(graphs: dict[str, Path], tmp_path: Path) -> None:
    records = _build(graphs["int8"], "int8", ["SM86"], tmp_path, tmp_path / "out", rejected="0.4 points lost")
    assert {record.status for record in records} == {"not built"}
    assert "model_int8_tensorrt.onnx" in records[0].reason
    assert "0.4 points lost" in records[0].reason
    assert not (tmp_path / "out").exists()


def _artifacts(*files: Path, **changes: Any) -> list[Artifact]:
    """Records of files as TensorRT and OpenVINO see them; what OpenVINO computes is of no matter for engines."""
    found = []
    for file in files:
        (precision,) = [name for name, known in FILES.items() if known == file.name]
        artifact = made_artifact(file.name, precision, ["tensorrt"], sha256=sha256(file), **changes)  # type: ignore[arg-type]
        elsewhere = replace(artifact, runtimes=["openvino"], status="rejected", reason="OpenVINO computes it otherwise")
        found += [artifact, elsewhere]
    return found


def test_a_source_is_the_file_that_was_measured(graphs: dict[str, Path], tmp_path: Path) -> None:
    artifacts = _artifacts(graphs["fp32"])
    assert find_source(graphs["fp32"], artifacts) == artifacts[0]
    over = _artifacts(graphs["fp32"], status="rejected", reason="too far off")
    assert find_source(graphs["fp32"], over).reason == "too far off"
    with raises(ArtifactError, graphs["fp16"], "dvc repro"):
        find_source(graphs["fp16"], artifacts)
    (tmp_path / "model.onnx").write_bytes(graphs["fp32"].read_bytes() + b"x")
    with raises(ArtifactError, tmp_path / "model.onnx", "dvc repro"):
        find_source(tmp_path / "model.onnx", artifacts)


ENGINE = Engine(
    precision="fp16", backend="tensorrt_rtx", version="1.7.1.116", compute_capabilities=["SM86"], file="a.engine",
    bytes=1, sha256="0", source_file="model_fp16.onnx", source_sha256="1", status="built", executed=False,
    accepted=None, reason="", parity=None,
)  # fmt: skip
CLOSE = replace(PARITY_MADE, runtime="tensorrt_rtx")
FAR = replace(CLOSE, pixel_agreement=0.5, worst_agreement=0.4, miou=0.5, miou_lost_points=10.0)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_within_its_budget_is_accepted(precision: Precision) -> None:
    judged = judge(replace(ENGINE, precision=precision), CLOSE, engine_budget(PARITY, precision))
    assert (judged.executed, judged.accepted, judged.reason) == (True, True, "")
    assert judged.parity == CLOSE


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_over_its_budget_stops_the_stage(precision: Precision) -> None:
    with raises(ArtifactError, "a.engine", "frame_7", "50", "model_fp16.onnx", "tensorrt_rtx 1.7.1.116"):
        judge(replace(ENGINE, precision=precision), FAR, engine_budget(PARITY, precision))


def test_an_int8_engine_over_its_budget_is_rejected() -> None:
    judged = judge(replace(ENGINE, precision="int8"), FAR, PARITY.int8)
    assert (judged.executed, judged.accepted) == (True, False)
    assert "50" in judged.reason


@pytest.mark.usefixtures("rtx")
@pytest.mark.skipif(torch.cuda.is_available(), reason="would run the engines, for which there are no predictions here")
def test_the_stage_builds_from_files_alone(graphs: dict[str, Path], tmp_path: Path) -> None:
    samples = write_toy_samples(tmp_path / "toy", count=4)
    rejected = _artifacts(graphs["int8"], status="rejected", reason="lost 1 point")
    write_record(tmp_path / "export.json", made_export(_artifacts(graphs["fp32"], graphs["fp16"])))
    write_record(tmp_path / "quantize.json", made_quantization(rejected))
    build_run_engines(
        "toy",
        EngineParams(compute_capabilities=["SM86"], precisions=["fp32", "fp16", "int8"]),
        PARITY,
        "test",
        RESIZING,
        classes=tmp_path / "toy/classes.json",
        samples=samples,
        export=graphs["fp32"].parent,
        quantize=graphs["int8"].parent,
        export_metrics=tmp_path / "export.json",
        quantize_metrics=tmp_path / "quantize.json",
        predictions=tmp_path / "predictions",
        scratch=tmp_path / "scratch",
        out=tmp_path / "out",
        metrics=tmp_path / "engine.json",
    )
    engines = json.loads((tmp_path / "engine.json").read_text())["engines"]
    found = {(e["precision"], e["backend"]): (e["status"], e["file"]) for e in engines}
    assert len(found) == 6
    for precision in ("fp32", "fp16"):
        status, file = found[precision, "tensorrt_rtx"]
        assert status == "built"
        assert description_path(tmp_path / "out" / file).is_file()
    assert found["int8", "tensorrt_rtx"] == ("not built", "")
    assert all(engine["reason"] for engine in engines)
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_where_no_engine_is_asked_for_the_folder_is_there_and_empty(tmp_path: Path) -> None:
    """DVC asks for it."""
    samples = write_toy_samples(tmp_path / "toy", count=4)
    nothing = tmp_path / "none"
    build_run_engines(
        "toy", EngineParams(compute_capabilities=["SM86"], precisions=[]), PARITY, "test", RESIZING,
        classes=tmp_path / "toy/classes.json", samples=samples, export=nothing, quantize=nothing,
        export_metrics=nothing, quantize_metrics=nothing, predictions=nothing, scratch=nothing, out=tmp_path / "out",
        metrics=tmp_path / "engine.json",
    )  # fmt: skip
    assert json.loads((tmp_path / "engine.json").read_text())["engines"] == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("release", "flags", "asked"), [("10", {"STRONGLY_TYPED": 1}, 2), ("11", {}, 0)])
def test_types_come_from_the_graph(release: str, flags: dict[str, int], asked: int) -> None:
    trt = SimpleNamespace(NetworkDefinitionCreationFlag=SimpleNamespace(**flags))
    builder = SimpleNamespace(create_network=lambda flags: flags)
    assert engine_build._create_network(trt, builder) == asked, release  # type: ignore[arg-type]


def test_a_tensorrt_that_is_too_old_is_refused() -> None:
    flags = SimpleNamespace(EXPLICIT_BATCH=0)
    trt = SimpleNamespace(__name__="tensorrt", __version__="8.6.2", NetworkDefinitionCreationFlag=flags)
    with raises(BuildFailed, "tensorrt 8.6.2", "version 10"):
        engine_build._create_network(trt, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("refusal", ["bytes", "machine"])
def test_a_timing_cache_of_another_machine_is_refused(refusal: str, tmp_path: Path) -> None:
    (tmp_path / "x.timing").write_bytes(b"measured elsewhere")
    config = SimpleNamespace(
        create_timing_cache=lambda content: None if refusal == "bytes" else content,
        set_timing_cache=lambda cache, ignore_mismatch: ignore_mismatch,
    )
    trt = SimpleNamespace(__name__="tensorrt", __version__="10.3.0")
    with raises(BuildFailed, "tensorrt 10.3.0", tmp_path / "x.timing"):
        engine_build._load_timing_cache(trt, config, tmp_path / "x.timing", SimpleNamespace(lines=[]))  # type: ignore[arg-type]


def test_the_full_tensorrt_keeps_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No TensorRT has run this: a stand-in, which has no wheel here, answers every call."""
    config = SimpleNamespace(
        builder_optimization_level=3,
        get_memory_pool_limit=lambda pool: 0,
        create_timing_cache=lambda content: content,
        set_timing_cache=lambda cache, ignore_mismatch: True,
        get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"measured"),
    )
    builder = SimpleNamespace(
        create_network=lambda flags: SimpleNamespace(num_inputs=0, num_outputs=0),
        create_builder_config=lambda: config,
        build_serialized_network=lambda network, config: b"ftrt and more",
    )
    trt = SimpleNamespace(
        __name__="tensorrt",
        __version__="10.3.0",
        Builder=lambda logger: builder,
        OnnxParser=lambda network, logger: SimpleNamespace(parse=lambda source: True),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        BuilderFlag=SimpleNamespace(),
        MemoryPoolType=SimpleNamespace(WORKSPACE=0),
    )
    monkeypatch.setitem(sys.modules, "tensorrt", trt)  # type: ignore[arg-type]
    monkeypatch.setattr(engine_build, "collecting_logger", lambda package: SimpleNamespace(lines=[]))
    given = (TensorRT(), "model.onnx", b"graph", "fp32", ["SM87"], "Orin", tmp_path / "caches")
    plan, first = build_engine(*given)
    assert (plan, first.bytes, first.compute_capabilities) == (b"ftrt and more", 13, ["SM87"])
    assert (first.timing_cache["file"], first.timing_cache["sha256_before"]) == ("tensorrt-10.3.0-SM87.timing", None)
    assert (tmp_path / "caches/tensorrt-10.3.0-SM87.timing").read_bytes() == b"measured"
    _, again = build_engine(*given)
    assert again.timing_cache["sha256_before"] == again.timing_cache["sha256"] == first.timing_cache["sha256"]
