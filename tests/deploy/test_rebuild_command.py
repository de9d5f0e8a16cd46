"""rebuild_on_target.sh through the real command line: what it builds without a GPU, and what it refuses."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from pipeline.data.files import sha256, write_json
from pipeline.deploy.bundle_code import copy_code
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.engine_file import read_engine, write_engine
from segdistill_runtime.targets.target import read_file
from tests.deploy.test_rebuild import CONTRACT
from tests.deploy.tiny_graphs import tiny_image, write_tiny_graphs

NO_TENSORRT = "import runpy, sys; sys.modules.update(tensorrt=None, tensorrt_rtx=None); sys.argv.pop(0); "


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The part of a bundle that a rebuild reads."""
    folder = tmp_path / "toy"
    graphs = write_tiny_graphs(folder)
    copy_code(["rebuild_on_target.sh", "rebuild.py"], folder)
    (folder / "golden").mkdir()
    Image.fromarray(tiny_image(7)[0]).save(folder / "golden/image.png")
    with open_artifact(graphs["fp32"], 1) as runner:
        Image.fromarray(runner.run(tiny_image(7))[0]).save(folder / "golden/labels_fp32.png")
    write_json(folder / "preprocessing.json", CONTRACT)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, status: str = "released") -> None:
    (folder / "manifest.json").unlink(missing_ok=True)
    files = [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    reasons = [] if status == "released" else ["mIoU 0.1"]
    record = {"format": "segdistill-bundle-1", "run": "toy", "status": status, "reasons": reasons, "files": files}
    write_json(folder / "manifest.json", record)


def run(bundle: Path, *arguments: str, python: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", *python, str(bundle / "rebuild.py"), *arguments]
    empty = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=bundle.parent, env=empty, capture_output=True, text=True, check=False)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a refused command said; it must be one message, and nothing may have been built."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")


@pytest.mark.usefixtures("rtx")
def test_engines_are_built_ahead_of_time(bundle: Path) -> None:
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    done = run(bundle, "--build-only", "--compute-capabilities", "SM86", "SM120")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT SIGNED" in done.stderr
    out = bundle.parent / "toy-engines"
    report = json.loads((out / "rebuild.json").read_text())
    assert [(e["precision"], e["status"]) for e in report["engines"]] == [
        ("fp32", "undecided"), ("fp16", "undecided"), ("int8", "undecided"),
    ]  # fmt: skip
    assert report["executed"] is False
    assert report["default"] is None
    assert report["manifest_sha256"] == sha256(bundle / "manifest.json")
    for entry in report["engines"]:
        plan, description = read_engine(str(out / entry["file"]), read_file)
        assert (len(plan), description.engine_sha256) == (entry["bytes"], entry["sha256"])
        assert description.compute_capabilities == ["SM86", "SM120"]
        assert entry["source_sha256"] == sha256(bundle / entry["source_file"])
        assert entry["as_released"] is None
    assert before == {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("rtx")
def test_a_rebuild_is_compared_with_what_was_released(bundle: Path) -> None:
    """The first rebuild's engines are released; the second takes its GPUs from them and must give the same bytes."""
    shipped = bundle / "engines"
    first = run(bundle, "--build-only", "--compute-capabilities", "SM89", "--precisions", "fp16", "fp32")
    assert first.returncode == 0, first.stderr
    shutil.copytree(bundle.parent / "toy-engines", shipped)
    (shipped / "rebuild.json").unlink()
    changed = next(shipped.glob("fp32*.engine"))
    plan, description = read_engine(str(changed), read_file)
    plan += b"x"
    write_engine(shipped, plan, description._replace(bytes=len(plan), engine_sha256=hashlib.sha256(plan).hexdigest()))
    write_manifest(bundle)
    again = run(bundle, "--build-only", "--out", str(bundle.parent / "again"))
    assert again.returncode == 0, again.stderr
    engines = json.loads((bundle.parent / "again/rebuild.json").read_text())["engines"]
    assert {e["precision"]: e["as_released"] for e in engines} == {"fp32": False, "fp16": True, "int8": None}


@pytest.mark.usefixtures("rtx")
def test_the_shell_script_passes_everything_on(bundle: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}
    command = [str(bundle / "rebuild_on_target.sh"), "--build-only", "--compute-capabilities", "SM86"]
    elsewhere = bundle.parent / "cwd"
    elsewhere.mkdir()
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (bundle.parent / "toy-engines/rebuild.json").is_file()
    assert not list(elsewhere.iterdir())
    assert not list(bundle.rglob("__pycache__"))


def test_the_shell_script_says_when_there_is_no_python(bundle: Path) -> None:
    environment = {**os.environ, "PYTHON": "python-of-nowhere"}
    done = subprocess.run(
        [str(bundle / "rebuild_on_target.sh")], env=environment, capture_output=True, text=True, check=False
    )
    said = refusal(done)
    assert [value for value in ("python-of-nowhere", "Python 3.10", "PYTHON") if value not in said] == []
    assert said.count("\n") == 1  # the script's own, and none of the shell


@pytest.mark.usefixtures("rtx")
def test_what_is_not_in_the_bundle_is_absent(bundle: Path) -> None:
    (bundle / "model_int8_tensorrt.onnx").unlink()
    write_manifest(bundle)
    done = run(bundle, "--build-only", "--compute-capabilities", "SM86")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("int8: absent")]
    assert "model_int8_tensorrt.onnx" in line


@pytest.mark.usefixtures("rtx")
def test_a_precision_without_a_limit_is_not_built(bundle: Path) -> None:
    golden = {**CONTRACT["golden"], "min_pixel_agreement": {"fp32": 0.999}}
    write_json(bundle / "preprocessing.json", {**CONTRACT, "golden": golden})
    write_manifest(bundle)
    done = run(bundle, "--build-only", "--compute-capabilities", "SM86")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("fp16: absent")]
    assert "preprocessing.json" in line


@pytest.mark.usefixtures("rtx")
def test_a_graph_that_cannot_be_built_is_a_fault_and_the_others_stay(bundle: Path) -> None:
    model = onnx.load(bundle / "model_fp16.onnx")
    model.graph.node[4].op_type = "NoSuchOp"
    model.graph.node[4].domain = "nobody"
    onnx.save(model, bundle / "model_fp16.onnx")
    write_manifest(bundle)
    said = refusal(run(bundle, "--build-only", "--compute-capabilities", "SM86"))
    (line,) = [line for line in said.splitlines() if line.startswith("fp16 failed")]
    assert [value for value in ("tensorrt_rtx", "model_fp16.onnx", "NoSuchOp") if value not in line] == []
    assert len(list((bundle.parent / "toy-engines").glob("*.engine"))) == 2


def test_a_damaged_bundle_is_refused_before_anything_is_built(bundle: Path) -> None:
    flipped = bytearray((bundle / "model.onnx").read_bytes())
    flipped[100] ^= 1
    (bundle / "model.onnx").write_bytes(flipped)
    said = refusal(run(bundle, "--build-only", "--compute-capabilities", "SM86"))
    assert str(bundle / "model.onnx") in said
    assert "SHA-256" in said
    assert not (bundle.parent / "toy-engines").exists()


def test_a_missing_signature_is_refused_where_a_key_is_given(bundle: Path) -> None:
    said = refusal(run(bundle, "--build-only", "--public-key", "somewhere.pub"))
    assert "manifest.json.sig" in said
    assert "somewhere.pub" not in said  # the key was not even looked for


def test_a_rejected_bundle_has_nothing_to_build(bundle: Path) -> None:
    write_manifest(bundle, status="rejected")
    said = refusal(run(bundle, "--build-only")).splitlines()[-1]
    assert [value for value in ("toy", "REJECTED", "mIoU 0.1") if value not in said] == []


def test_no_tensorrt_is_said(bundle: Path) -> None:
    without = ["-c", f"{NO_TENSORRT} runpy.run_path(sys.argv[0], run_name='__main__')"]
    said = refusal(run(bundle, "--build-only", "--compute-capabilities", "SM86", python=without))
    assert "tensorrt_rtx" in said
    assert "pip install tensorrt-rtx" in said


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize("capability", ["SM87", "SM90", "sm86", "rubbish", "CURRENT"])
def test_an_unknown_compute_capability_is_refused(bundle: Path, capability: str) -> None:
    said = refusal(run(bundle, "--build-only", "--precisions", "fp32", "--compute-capabilities", capability))
    (line,) = [line for line in said.splitlines() if line.startswith("fp32 failed")]
    assert [value for value in (capability, "SM75", "SM120") if value not in line] == []
    assert not list((bundle.parent / "toy-engines").glob("*.engine"))


@pytest.mark.usefixtures("rtx")
def test_build_only_needs_to_know_for_which_gpu(bundle: Path) -> None:
    assert "--compute-capabilities SM86" in refusal(run(bundle, "--build-only"))


def test_options_that_contradict_each_other_are_refused(bundle: Path) -> None:
    said = refusal(run(bundle, "--compute-capabilities", "SM86"))
    assert "--compute-capabilities" in said
    assert "--build-only" in said
    said = refusal(run(bundle, "--build-only", "--out", str(bundle / "engines")))
    assert str(bundle / "engines") in said
    assert "--out" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_can_be_run(bundle: Path) -> None:
    said = refusal(run(bundle))
    assert "CUDA" in said
    assert "--build-only" in said
    assert not (bundle.parent / "toy-engines").exists()


ON_A_JETSON = """
import hashlib, sys
bundle = sys.argv[1]
sys.path.insert(0, sys.argv[2])
from segdistill_runtime import rebuild
from segdistill_runtime.__main__ import main
from segdistill_runtime.engine_file import Description
from segdistill_runtime.targets.tensorrt import TensorRT

class OnAJetson(TensorRT):
    def version(self):
        return "10.3.0"

def build_engine(target, source_file, source, precision, gpus, this_gpu, caches):
    plan = b"ftrt" + source
    hashes = [hashlib.sha256(content).hexdigest() for content in (source, plan)]
    facts = (precision, "tensorrt", "10.3.0", gpus, source_file, *hashes, len(plan))
    return plan, Description(*facts, builder={}, inputs=[], outputs=[], held_types={}, timing_cache={}, built_on={})

rebuild.choose_target = lambda *arguments: (OnAJetson(), ["SM87"])
rebuild.build_engine = build_engine
rebuild.measure = lambda target, engine, images, calls, min_s: ((images[..., 0] > 127).astype("uint8"), [2.5] * calls)
main(["rebuild", "--bundle", bundle])
"""
"""The command with a stand-in for TensorRT and the GPU; its network says 1 where red is above 127."""


def run_on_a_jetson(bundle: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ON_A_JETSON, str(bundle), str(next(bundle.glob("*.whl")))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_labels(bundle: Path, labels: np.ndarray) -> None:
    Image.fromarray(labels.astype(np.uint8)).save(bundle / "golden/labels_fp32.png")
    write_manifest(bundle)


def test_a_target_decides_from_its_own_measurements(bundle: Path) -> None:
    write_labels(bundle, tiny_image(7)[0, ..., 0] > 127)
    done = run_on_a_jetson(bundle)
    assert done.returncode == 0, done.stderr
    out = bundle.parent / "toy-engines"
    report = json.loads((out / "rebuild.json").read_text())
    engines = {entry["precision"]: entry for entry in report["engines"]}
    assert {precision: entry["status"] for precision, entry in engines.items()} == {
        "fp32": "accepted", "fp16": "rejected", "int8": "rejected",
    }  # fmt: skip
    assert engines["int8"]["reason"].count("2.50 ms") == 2
    assert [value for value in ("fp32", "1.00", "1.2") if value not in engines["int8"]["reason"]] == []
    assert (report["backend"], report["version"], report["compute_capabilities"]) == ("tensorrt", "10.3.0", ["SM87"])
    assert (engines["fp16"]["pixel_agreement"], engines["fp16"]["calls"], engines["fp16"]["p90_ms"]) == (1.0, 200, 2.5)
    assert report["default"] == "fp32"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [engines["fp32"]["file"], f"{engines['fp32']['file']}.json", "rebuild.json"]
    )


def test_engines_that_give_other_labels_are_removed_and_the_command_fails(bundle: Path) -> None:
    write_labels(bundle, tiny_image(7)[0, ..., 0] <= 127)
    said = refusal(run_on_a_jetson(bundle))
    (line,) = [line for line in said.splitlines() if line.startswith("fp32 failed")]
    assert " 0.000 %" in line
    assert "99.9 %" in line
    assert "ONNX Runtime" in said.splitlines()[-1]  # what may be used instead of the engines
    assert not list((bundle.parent / "toy-engines").glob("*.engine*"))


def test_a_contract_of_another_version_is_refused(bundle: Path) -> None:
    write_json(bundle / "preprocessing.json", {"model": "model.onnx"})
    write_manifest(bundle)
    said = refusal(run(bundle, "--build-only"))
    assert "preprocessing.json" in said
    assert "KeyError" in said
