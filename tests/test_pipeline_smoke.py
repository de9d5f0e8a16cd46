"""The embedded default in small, with its first runs, through the real command line: complete, killed, repeated."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file

from pipeline.code_digest import ROOT
from pipeline.curation.review import Remark, write_review
from pipeline.data.samples import read_samples
from pipeline.params.tree import load_params
from tests.small_profile import environment, repro, run, write_small_profile

pytestmark = [pytest.mark.smoke, pytest.mark.slow]
RUNS = dict(list(load_params(ROOT / "params.yaml").runs.items())[:3])
"""Both networks, and the method: a fourth takes as long as they and runs no other code."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile after one complete `dvc repro`."""
    folder = tmp_path_factory.mktemp("profile")
    write_small_profile(folder, list(RUNS))
    done = repro(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_every_number_of_the_summary_is_there(profile: Path) -> None:
    summary = json.loads((profile / "reports/summary.json").read_text())
    assert 0 <= summary["teacher"]["miou"] <= 1
    runs = {entry["run"]: entry for entry in summary["runs"]}
    assert list(runs) == list(RUNS)
    for name, entry in runs.items():
        assert entry["baseline_miou"] == runs[RUNS[name].baseline]["miou"]
        assert entry["onnx_pixel_agreement"] >= 0.9999
        assert abs(entry["onnx_miou"] - entry["miou"]) < 1e-4
        assert entry["latency_p50_ms"] > 0
        assert entry["params"] > 1e6
        assert entry["gmacs"] > 0
        assert entry["engines"]
        assert all(engine["status"] == "built" or engine["reason"] for engine in entry["engines"])


@pytest.mark.parametrize("name", RUNS)
def test_a_bundle_predicts_and_tests_itself_in_a_python_that_sees_no_project(
    profile: Path, tmp_path: Path, name: str
) -> None:
    bundle = profile / "artifacts/release" / name
    image = next((profile / "data/prepared/raw/images").glob("test_s*.png"))
    for command in (["predict.py", str(image)], ["self_test.py"]):
        done = run([sys.executable, "-I", str(bundle / command[0]), *command[1:]], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / f"{image.stem}_overlay.png").is_file()
    assert "training-only" not in (bundle / "card.md").read_text()
    assert '"name": "onnxruntime"' in (bundle / "sbom.cdx.json").read_text()


def test_nothing_of_the_method_ships(profile: Path) -> None:
    from safetensors import safe_open

    with safe_open(profile / "artifacts/students/pspnet_r18_gdd/checkpoint.safetensors", "pt") as file:
        distilled = set(file.keys())
    with safe_open(profile / "artifacts/students/pspnet_r18/checkpoint.safetensors", "pt") as file:
        assert distilled == set(file.keys())


def test_dvc_draws_the_curve_of_every_network(profile: Path) -> None:
    done = run(["dvc", "plots", "show", "--json"], profile)
    assert done.returncode == 0, done.stderr
    ((plot,),) = json.loads(done.stdout)["data"].values()
    assert {point["filename"] for point in plot["content"]["data"]["values"]} == {
        f"{folder}/training.csv" for folder in ("teacher", *(f"students/{name}" for name in RUNS))
    }


def test_a_second_repro_does_nothing(profile: Path) -> None:
    done = repro(profile)
    assert done.returncode == 0
    assert "Data and pipelines are up to date" in done.stdout
    assert "Running stage" not in done.stdout


def test_what_was_reviewed_is_left_out_until_it_is_taken_back(profile: Path) -> None:
    curated = profile / "data/curated/samples.csv"
    before = curated.read_bytes()
    sample = read_samples(curated, "train")[0]
    write_review(profile / "review.csv", [Remark(sample.id, "drop", sample.image_sha256, sample.mask_sha256)])
    done = repro(profile, "curate")
    assert done.returncode == 0, done.stderr
    assert sample.id not in [kept.id for kept in read_samples(curated)]
    write_review(profile / "review.csv", [])
    assert repro(profile, "curate").returncode == 0
    assert curated.read_bytes() == before


def test_a_changed_method_reruns_only_what_it_touches(profile: Path) -> None:
    params = (profile / "params.yaml").read_text()
    assert "methods:\n" in params
    (profile / "params.yaml").write_text(params.replace("methods:\n", "methods:\n  gdd: {temperature: 3.0}\n"))
    assert repro(profile, "resolve").returncode == 0
    plan = json.loads(run(["dvc", "status", "--json"], profile).stdout)
    (profile / "params.yaml").write_text(params)
    assert repro(profile, "resolve").returncode == 0
    distilled = [name for name, run in RUNS.items() if run.distill]
    assert set(plan) == {"preflight", *(f"{stage}-{name}" for stage in ("student", "quantize") for name in distilled)}


def test_a_comparison_trains_what_the_run_trained_and_ends_in_a_verdict(profile: Path) -> None:
    """Its baseline is the run of the same seed, weight by weight."""
    command = [sys.executable, "-m", "pipeline", "compare", "--seeds", "1", "--split", "val", "none", "kd"]
    done = run(command, profile)
    assert done.returncode == 0, done.stderr
    record = json.loads((profile / "reports/comparison/pspnet_r18/val/comparison.json").read_text())
    assert record["candidates"]["iterations"]["kd"]["gain"]["verdict"] == "one seed: no verdict"
    ours = load_file(profile / "artifacts/comparison/pspnet_r18/none_seed_0/checkpoint.safetensors")
    theirs = load_file(profile / "artifacts/students/pspnet_r18/checkpoint.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    unknown = run([*command, "kdd"], profile)
    assert unknown.returncode == 1
    assert "ParamsError: " in unknown.stderr
    assert "kdd" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_training_killed_hard_goes_on(profile: Path) -> None:
    """DVC removes the outputs before it runs a stage; the progress must lie elsewhere."""
    params = (profile / "params.yaml").read_text()
    (profile / "params.yaml").write_text(params.replace("iterations: 8", "iterations: 100"))
    try:
        trainer = subprocess.Popen(
            ["dvc", "repro", "teacher"], cwd=profile, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 90
        while not list((profile / "scratch/teacher").glob("*/state.safetensors")):
            assert time.monotonic() < deadline, "no state was written"
            assert trainer.poll() is None, trainer.communicate()
            time.sleep(0.05)
        os.killpg(trainer.pid, signal.SIGKILL)
        trainer.wait()
        assert not (profile / "artifacts/teacher/checkpoint.safetensors").exists()
        done = repro(profile, "teacher")
        assert done.returncode == 0, done.stdout + done.stderr
        assert _resumed("teacher", 100, done)
    finally:
        (profile / "params.yaml").write_text(params)


def test_a_killed_training_ends_in_the_same_bytes(profile: Path, tmp_path: Path) -> None:
    """With a loader process, the teacher's layers beside it, and killed twice, wherever it happens to be."""
    params = (profile / "params.yaml").read_text().replace("iterations: 6", "iterations: 60")
    params = params.replace("workers: 0", "workers: 1")
    command = [sys.executable, "-m", "stages.student", "pspnet_r18_gdd"]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.yaml").write_text(params)
        (tmp_path / name / "data").symlink_to(profile / "data")
        (tmp_path / name / "artifacts").mkdir()
        (tmp_path / name / "artifacts/teacher").symlink_to(profile / "artifacts/teacher")
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    assert run(command, whole).returncode == 0
    seen, random = 0, Random(0)
    for _ in range(2):
        trainer = subprocess.Popen(
            command, cwd=cut, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        while (changed := _last_change(cut / "scratch/pspnet_r18_gdd")) <= seen:
            assert trainer.poll() is None, trainer.communicate()
            time.sleep(0.01)
        seen = changed
        time.sleep(random.uniform(0.0, 0.3))
        os.killpg(trainer.pid, signal.SIGKILL)
        trainer.wait()
    done = run(command, cut)
    assert done.returncode == 0, done.stderr
    assert _resumed("pspnet_r18_gdd", 60, done)
    file = "artifacts/students/pspnet_r18_gdd/checkpoint.safetensors"
    assert (cut / file).read_bytes() == (whole / file).read_bytes()


def _resumed(name: str, iterations: int, done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a line names the training, an iteration above 0, and all iterations."""
    line = rf"^{name}: [^\d\n]+[1-9]\d*[^\d\n]+{iterations}$"
    return re.search(line, done.stdout + done.stderr, re.MULTILINE) is not None


def _last_change(folder: Path) -> float:
    return max((state.stat().st_mtime for state in folder.glob("*/state.safetensors")), default=0)


@pytest.mark.parametrize(
    ("stage", "change", "values"),
    [
        (["teacher"], ("scale_max:", "scale_maks:"), ("ParamsError: ", ".scale_maks", "'scale_max'")),
        (["teacher"], ("backbone: resnet10t", "backbone: resnet10x"), ("ModelError: ", "timm", "'resnet10x'")),
        (["student", "nobody"], ("", ""), ("ParamsError: ", "student", "'nobody'")),
        (["teacher"], ("learning_rate: 0.", "learning_rate: 1.0e+30 #"), ("Diverged: teacher", "learning_rate")),
    ],
)  # fmt: skip
def test_bad_input_ends_in_one_message(
    profile: Path, tmp_path: Path, stage: list[str], change: tuple[str, str], values: tuple[str, ...]
) -> None:
    (tmp_path / "data").symlink_to(profile / "data")
    text = (profile / "params.yaml").read_text()
    assert change[0] in text
    (tmp_path / "params.yaml").write_text(text.replace(*change) if change[0] else text)
    done = run([sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]], tmp_path)
    assert done.returncode == 1
    for value in values:
        assert value in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts").exists() or not list((tmp_path / "artifacts").rglob("*.safetensors"))
