"""Bundles and records of rejected runs, made from real graphs."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.code_digest import ROOT
from pipeline.data.files import sha256, write_json
from pipeline.data.samples import read_samples
from pipeline.deploy.bundle_records import provenance
from pipeline.deploy.contract import write_golden
from pipeline.deploy.decisions import failed_gates
from pipeline.errors import ArtifactError
from pipeline.params.runs import PruneParams
from pipeline.params.tree import load_params
from segdistill_runtime.contract import read_contract
from segdistill_runtime.verify import verify
from tests.deploy.release_material import (
    BASELINE,
    CLASSES,
    FILES,
    NO_LIMITS,
    ON_OPENVINO,
    RUN,
    SIZE,
    TIMES,
    Material,
    artifact,
    measured,
    picture,
    run_script,
)
from tests.raising import raises

MODELS = {"model.onnx", "model_fp16.onnx", "model_int8.onnx", "model_int8_tensorrt.onnx"}


def read_yaml(path: Path) -> dict:
    return YAML(typ="safe", pure=True).load(path.read_text())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_released_bundle_holds_what_receivers_need(released: Path) -> None:
    verification = verify(released, None)
    assert (verification.run, verification.status, verification.signature) == (RUN, "released", "absent")
    assert set(verification.files) >= MODELS
    assert {"card.md", "classes.json", "numerics.yaml", "perf.yaml", "calibration.csv"} <= set(verification.files)
    assert {"predict.py", "self_test.py", "rebuild_on_target.sh", "cpp/main.cpp"} <= set(verification.files)
    assert {"golden/image.png", "golden/labels_fp32.png", "golden/labels_int8.png"} <= set(verification.files)
    assert os.access(released / "rebuild_on_target.sh", os.X_OK)
    assert not verification.unlisted
    assert not list(released.rglob("*.pyc"))
    assert not list(released.parent.glob(".*"))  # the temporary folder is gone


def test_a_small_bundle_holds_the_fastest_file_of_the_runtimes_it_is_for(material: Material) -> None:
    out = material.release(replace(NO_LIMITS, runtimes=["onnxruntime"], files="fastest", servers=False))
    held = verify(out, None).files
    assert MODELS & set(held) == {"model_int8.onnx"}
    assert not [file for file in held if file.startswith(("engines/", "triton/"))]
    contract = read_contract((out / "preprocessing.json").read_bytes())
    assert [(c.runtime, c.model) for c in contract.runtimes] == [("onnxruntime", "model_int8.onnx")]
    card = (out / "card.md").read_text()
    assert "| model.onnx | rejected |" in card  # what was left out is in the table, with the reason
    assert "release.runtimes" in card
    assert "rebuild_on_target.sh" not in card
    done = run_script(out, "self_test.py", cwd=out.parent)
    assert done.returncode == 0, done.stderr


def test_the_same_measurements_make_the_same_bytes(material: Material, key: Path) -> None:
    first = tree(material.release(key=key))
    assert tree(material.release(key=key)) == first


def test_the_contract_names_the_fastest_file_of_each_runtime(released: Path) -> None:
    contract = read_contract((released / "preprocessing.json").read_bytes())
    assert [(c.runtime, c.model) for c in contract.runtimes] == [
        ("onnxruntime", "model_int8.onnx"),
        ("openvino", "model.onnx"),
    ]
    assert contract.shape == (1, *SIZE, 3)
    others = {(o.runtime, o.precision): o.status for o in contract.others}
    assert others[("openvino", "int8")] == "rejected"  # 9.0 to 8.0 ms does not pay
    assert others[("tensorrt", "int8")] == "undecided"


def test_perf_and_numerics_are_the_same_in_git_and_in_the_bundle(material: Material) -> None:
    out, reports = material.release(), material.folders().reports
    for name in ("perf.yaml", "numerics.yaml"):
        assert (out / name).read_bytes() == (reports / name).read_bytes()
    perf, numerics = read_yaml(reports / "perf.yaml"), read_yaml(reports / "numerics.yaml")
    decisions = perf.pop("decisions")
    assert perf == json.loads(material.metrics("benchmark").read_text())
    assert numerics["decisions"] == decisions
    assert [d["verdict"] for d in decisions if d["runtime"] == "onnxruntime"] == ["accepted", "rejected", "accepted"]
    judged = [(a["file"], a["parity"]["runtime"]) for a in numerics["artifacts"]]
    assert sorted(judged) == sorted([(f, "onnxruntime") for f in FILES] + [(f, "openvino") for f in ON_OPENVINO])
    assert numerics["checkpoint_md5"] == ["1" * 32]
    assert numerics["quantization"]["choices"]["cpu"]["float_layers"] == ["first"]
    assert (numerics["split"], numerics["images"], numerics["reference_miou"]) == ("test", 2, 0.5)


@pytest.mark.parametrize(
    ("limits", "values"),
    [
        (replace(NO_LIMITS, min_miou=0.6), ("`b`", "0.5000", "model.onnx", "0.6", "release.min_miou")),
        (replace(NO_LIMITS, max_mebibytes=1e-6), ("1e-06 MiB", "release.max_mebibytes")),
        (
            replace(NO_LIMITS, max_p90_ms=4.0),
            ("p90", "4.40 ms", "model_int8.onnx", "onnxruntime", " 4 ms", "release.max_p90_ms"),
        ),
    ],
)
def test_a_run_that_fails_a_gate_is_recorded_without_a_model(
    material: Material, capsys: pytest.CaptureFixture[str], limits, values: tuple[str, ...]
) -> None:
    material.release()  # what an earlier release left must not stay
    out = material.release(limits)
    verification = verify(out, None)
    assert verification.status == "rejected"
    assert [value for value in values if value not in verification.reasons[0]] == []
    assert set(verification.files) == {"card.md", "classes.json", "numerics.yaml", "perf.yaml", "calibration.csv"}
    assert "REJECTED" in capsys.readouterr().out
    card = (out / "card.md").read_text()
    assert "Rejected" in card
    assert verification.reasons[0] in card
    assert "predict.py" not in card
    assert read_yaml(material.folders().reports / "numerics.yaml")["status"] == "rejected"


def test_a_rejected_file_is_not_in_the_bundle(material: Material) -> None:
    artifacts = json.loads(material.metrics("quantize").read_text())["artifacts"]
    for record in artifacts:
        record.update(status="rejected", reason="0.9 points of mIoU lost")
    material.change("quantize", artifacts=artifacts)
    out = material.release()
    assert not list(out.glob("model_int8*"))
    assert "0.9 points of mIoU lost" in (out / "card.md").read_text()
    assert (out / "golden/labels_fp32.png").is_file()


def test_the_card_says_what_ships_and_what_model_hubs_read(released: Path) -> None:
    card = (released / "card.md").read_text()
    head, body = card.split("---\n")[1:3]
    front = YAML(typ="safe", pure=True).load(head)
    assert front["license"] == "other"
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert result["task"]["type"] == "image-segmentation"
    assert result["metrics"][0] == {
        "type": "mean_iou", "name": "mIoU (of 1 of 2 classes: no `b` in test)", "value": 0.5, "verified": False,
    }  # fmt: skip
    assert read_yaml(released / "numerics.yaml")["absent_classes"] == ["b"]
    assert "| onnxruntime | int8 | model_int8.onnx | accepted, default |" in body
    assert any(all(value in line for value in ("9.00 ms", "fp32", "1.12", "1.2 ")) for line in body.splitlines())
    assert "Not signed" in body
    assert "Kept in floating point in the graph for CPUs, because they lose most: first." in body
    assert "**mIoU (of 1 of 2 classes: no `b` in test)**" in body
    assert "b | no label" in body
    limits = body.split("## Limits\n")[1].split("\n## ")[0].strip().splitlines()
    assert len(limits) == 5
    assert all(line.startswith("- ") and line.endswith(".") for line in limits)


def test_a_card_has_a_teacher_only_if_the_student_had_one(material: Material) -> None:
    params = load_params(ROOT / "params.yaml")
    for run, rows in ((RUN, 2), (BASELINE, 0)):
        card = (material.release(run=params.run(run)) / "card.md").read_text()
        scores = card.split("## Quality\n")[1].split("\n| class |")[0]
        assert sum("teacher" in line for line in scores.splitlines()) == rows


def test_a_card_names_the_network_that_was_pruned(material: Material) -> None:
    params = load_params(ROOT / "params.yaml").run(BASELINE)
    for prune in (PruneParams(), PruneParams(source="students/wide", keep=0.5)):
        card = (material.release(run=replace(params, prune=prune)) / "card.md").read_text()
        head = card.split("## ")[0]
        assert ("50 % of the channels of students/wide" in head) == prune.prunes


def test_a_signed_bundle_says_so(material: Material, key: Path) -> None:
    out = material.release(key=key)
    assert verify(out, key.with_name("key.pub")).signature == "valid"
    assert "python verify.py" in (out / "card.md").read_text()


def test_triton_serves_the_graph_that_ships(released: Path) -> None:
    model = released / "triton" / f"{RUN}_int8"
    assert (model / "1/model.onnx").read_bytes() == (released / "model_int8.onnx").read_bytes()
    assert (model / "warmup/golden").read_bytes() == picture(released / "golden/image.png").tobytes()
    assert (model / "labels.txt").read_text().split() == CLASSES.names
    config = (model / "config.pbtxt").read_text()
    assert f"dims: [1, {SIZE[0]}, {SIZE[1]}, 3]" in config
    assert "max_batch_size: 0" in config
    assert config.count("{") == config.count("}")


def test_the_adapters_for_isaac_ros_lead_to_the_same_labels(released: Path) -> None:
    """Triton is not here, so its ensemble is followed by hand."""
    image = picture(released / "golden/image.png")[None]
    config = (released / "triton" / f"{RUN}_int8_isaac_ros" / "config.pbtxt").read_text()
    value = {"float_image": image.astype(np.float32)}
    for name in ("to_pixels", f"{RUN}_int8", "to_classes"):
        assert f'model_name: "{name}"' in config
        session = onnxruntime.InferenceSession(
            released / "triton" / name / "1/model.onnx", providers=["CPUExecutionProvider"]
        )
        value = {session.get_outputs()[0].name: np.asarray(session.run(None, value)[0])}
    (classes,) = value.values()
    assert classes.dtype == np.int32
    assert classes.shape == (1, *SIZE, 1)
    assert (classes[0, ..., 0] == picture(released / "golden/labels_int8.png")).all()
    nodes = read_yaml(released / "isaac_ros/parameters.yaml")
    assert nodes["unet_decoder"]["ros__parameters"]["color_palette"][1] == 60 << 16 | 90 << 8 | 140
    assert nodes["image_to_tensor"]["ros__parameters"]["scale"] is False


def test_what_was_not_measured_is_not_released(material: Material) -> None:
    out = material.release()
    before = tree(out)
    material.metrics("benchmark").unlink()
    with raises(ArtifactError, material.metrics("benchmark"), "dvc repro") as caught:
        material.release()
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert tree(out) == before
    assert [path.name for path in out.parent.iterdir()] == [RUN]


@pytest.mark.parametrize(
    ("stage", "values", "wrong"),
    [
        ("export", {"artifacts": "many"}, "artifacts"),
        ("evaluate", {"miou": None}, "miou"),
        ("quantize", {"calibration": {}}, "calibration.images"),
        ("engine", {"engines": None}, "engines"),
        (
            "benchmark",
            {"measurements": [{"runtime": "onnxruntime"}]},
            "measurements.0",
        ),
        ("benchmark", {"machine": None}, "machine"),
    ],
)
def test_metrics_that_are_not_metrics_are_named(material: Material, stage: str, values: dict, wrong: str) -> None:
    material.change(stage, **values)
    with raises(ArtifactError, material.metrics(stage), wrong, "dvc repro") as caught:
        material.release()
    assert isinstance(caught.value.__cause__, ValidationError)
    assert not material.folders().out.exists()


def test_a_file_that_was_changed_after_it_was_measured_is_refused(material: Material) -> None:
    with (material.folders().export / "model.onnx").open("ab") as file:
        file.write(b"x")
    with raises(ArtifactError, material.folders().export / "model.onnx", "dvc repro"):
        material.release()
    assert not material.folders().out.exists()
    assert not material.folders().reports.exists()


def test_files_that_are_missing_are_named(material: Material) -> None:
    (material.folders().quantize / "calibration.csv").unlink()
    with raises(ArtifactError, material.folders().quantize / "calibration.csv", "dvc repro"):
        material.release()


def test_nothing_ships_where_nothing_was_measured(material: Material) -> None:
    material.change("benchmark", measurements=[])
    verification = verify(material.release(), None)
    assert verification.status == "rejected"
    assert verification.reasons == failed_gates([], [], "", NO_LIMITS)


def test_the_golden_image_allows_for_what_a_precision_changes(material: Material, tmp_path: Path) -> None:
    folders, parity = material.folders(), load_params(ROOT / "params.yaml").parity
    graphs = {"fp32": folders.export / "model.onnx", "int8": folders.quantize / "model_int8.onnx"}
    sample = read_samples(material.root / "samples.csv", "test")[0]
    golden = write_golden(sample, SIZE, graphs, [artifact("model_int8.onnx")], parity, tmp_path / "bundle")
    own = float(
        (
            picture(tmp_path / "bundle/golden/labels_fp32.png") == picture(tmp_path / "bundle/golden/labels_int8.png")
        ).mean()
    )
    assert golden.min_pixel_agreement["fp32"] == pytest.approx(parity.engine_fp32.min_pixel_agreement)
    assert golden.min_pixel_agreement["int8"] == pytest.approx(own + parity.int8.min_pixel_agreement - 1)
    assert (picture(tmp_path / "bundle/golden/image.png") == picture(sample.image)).all()


def test_provenance_needs_a_lock_that_knows_the_run(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    with raises(ArtifactError, lock, "dvc repro") as caught:
        provenance(lock, "a")
    assert "prepare" not in str(caught.value)
    lock.write_text("stages: [")
    with raises(ArtifactError, lock, "git", "dvc repro") as caught:
        provenance(lock, "a")
    assert isinstance(caught.value.__cause__, YAMLError)
    lock.write_text("schema: '2.0'\nstages:\n  prepare: {cmd: x}\n")
    with raises(ArtifactError, lock, "curate", "student-a", "dvc repro"):
        provenance(lock, "a")


def test_provenance_names_what_the_run_used_and_its_parameters(material: Material) -> None:
    origin = provenance(material.root / "dvc.lock", RUN)
    assert {row["stage"] for row in origin.files} == {"prepare", "curate", "teacher", f"student-{RUN}"}
    assert origin.parameters == {"code": "c0de", "training": {"splits": ["train"]}}
    lock = json.loads((material.root / "dvc.lock").read_text())
    del lock["stages"][f"student-{RUN}"]["deps"]
    (material.root / "dvc.lock").write_text(json.dumps(lock))
    assert "teacher" not in {row["stage"] for row in provenance(material.root / "dvc.lock", RUN).files}


def test_an_engine_over_its_budget_stays_out(material: Material) -> None:
    folder = material.folders().engines
    folder.mkdir(parents=True)
    records = []
    for precision, accepted in (("fp32", True), ("int8", False)):
        (folder / f"{precision}.engine").write_bytes(b"vtrt" + precision.encode())
        (folder / f"{precision}.engine.json").write_text("{}")
        records.append(
            {
                "precision": precision, "backend": "tensorrt_rtx", "version": "1", "compute_capabilities": ["SM86"],
                "file": f"{precision}.engine", "bytes": 8, "sha256": sha256(folder / f"{precision}.engine"),
                "source_file": "model.onnx", "source_sha256": "",
                "status": "built", "executed": True, "accepted": accepted, "parity": None,
                "reason": "" if accepted else "2 points of mIoU lost",
            }
        )  # fmt: skip
    write_json(material.metrics("engine"), {"run": RUN, "engines": records})
    times = [*TIMES, replace(measured("tensorrt_rtx", "model.onnx", 1.0), file="fp32.engine")]
    profile = json.loads(material.metrics("benchmark").read_text())
    material.change("benchmark", measurements=[{**profile["measurements"][0], **asdict(time)} for time in times])
    out = material.release()
    assert sorted(path.name for path in (out / "engines").iterdir()) == ["fp32.engine", "fp32.engine.json"]
    decisions = {(d["runtime"], d["precision"]): d for d in read_yaml(out / "perf.yaml")["decisions"]}
    assert decisions[("tensorrt", "fp32")]["verdict"] == "accepted"
    assert decisions[("tensorrt", "int8")]["reason"] == "int8.engine: 2 points of mIoU lost"
