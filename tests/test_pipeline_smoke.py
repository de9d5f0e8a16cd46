"""The whole pipeline through the real command line: on a dataset of one's own, killed, broken and repeated."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.curation.review import Remark, write_review
from pipeline.data.images import read_image, read_mask
from pipeline.data.samples import read_decisions, read_samples
from tests.fresh_project import write_own_images
from tests.small_profile import environment, repro, run, write_small_profile

pytestmark = pytest.mark.smoke


def write_own_dataset(source: Path, sizes: Sequence[tuple[int, int]] = ((64, 96),)) -> None:
    """What a user brings, a picture that is none among it."""
    write_own_images(source, {"train": 10, "val": 2, "test": 3}, sizes, colors=False)
    (source / "images/train/4.png").write_bytes(b"no picture")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile on a user's own dataset after one complete `dvc repro`."""
    folder = tmp_path_factory.mktemp("profile")
    write_own_dataset(folder / "own")
    write_small_profile(
        folder, ["pspnet_r18", "pspnet_r18_gdd"], dataset={"adapter": "folder", "source": "own"},
        curation={"rules": {"leakage": {"policy": "warn"}}},
    )  # fmt: skip
    done = repro(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_every_number_of_the_summary_is_there(profile: Path) -> None:
    summary = json.loads((profile / "reports/summary.json").read_text())
    assert 0 <= summary["teacher"]["miou"] <= 1
    runs = {entry["run"]: entry for entry in summary["runs"]}
    assert set(runs) == {"pspnet_r18", "pspnet_r18_gdd"}
    for entry in runs.values():
        assert entry["baseline_miou"] == runs["pspnet_r18"]["miou"]
        assert entry["onnx_pixel_agreement"] >= 0.9999
        assert abs(entry["onnx_miou"] - entry["miou"]) < 1e-4
        assert entry["latency_p50_ms"] > 0
        assert entry["params"] > 1e6
        assert entry["gmacs"] > 0
        assert entry["engines"]
        assert all(engine["status"] == "built" or engine["reason"] for engine in entry["engines"])


def test_the_broken_image_was_rejected_with_its_reason(profile: Path) -> None:
    decisions = {d.sample.id: d for d in read_decisions(profile / "data/curated/decisions.csv")}
    broken = decisions.pop("train_4")
    assert (broken.decision, broken.rules[0]) == ("drop", "unreadable_image")
    assert {decision.decision for decision in decisions.values()} == {"keep"}
    assert "train_4" not in (profile / "data/curated/samples.csv").read_text()


def test_the_report_opens_offline(profile: Path) -> None:
    page = (profile / "reports/index.html").read_text()
    assert "pspnet_r18_gdd" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_bundles_predict(profile: Path, tmp_path: Path) -> None:
    bundle = profile / "artifacts/release/pspnet_r18_gdd"
    image = profile / "own/images/test/0.png"
    done = run([sys.executable, str(bundle / "predict.py"), str(image)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "0_overlay.png").is_file()
    assert "training-only" not in (bundle / "card.md").read_text()
    assert '"name": "onnxruntime"' in (bundle / "sbom.cdx.json").read_text()


def test_nothing_of_the_method_ships(profile: Path) -> None:
    from safetensors import safe_open

    with safe_open(profile / "artifacts/students/pspnet_r18_gdd/checkpoint.safetensors", "pt") as file:
        distilled = set(file.keys())
    with safe_open(profile / "artifacts/students/pspnet_r18/checkpoint.safetensors", "pt") as file:
        assert distilled == set(file.keys())


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


def test_a_dataset_without_splits_is_divided_by_whole_sequences(tmp_path: Path) -> None:
    write_own_dataset(tmp_path / "own")
    for kind in ("images", "masks"):
        for number, file in enumerate(sorted((tmp_path / "own" / kind).glob("*/[!4].png"))):
            folder = tmp_path / "own" / kind / f"drive_{number // 2}"
            folder.mkdir(exist_ok=True)
            file.rename(folder / f"{number}.png")
        for split in ("train", "val", "test"):
            shutil.rmtree(tmp_path / "own" / kind / split)
    split = {"by": "sequences", "val_share": 0.2, "test_share": 0.3, "seed": 1}
    write_small_profile(
        tmp_path, ["pspnet_r18"], dataset={"adapter": "folder", "source": "own", "split": split},
        curation={"rules": {"leakage": {"policy": "warn"}}},
    )  # fmt: skip
    done = repro(tmp_path, "curate")
    assert done.returncode == 0, done.stderr
    samples = read_samples(tmp_path / "data/curated/samples.csv")
    assert len(samples) == 14
    assert len({(s.sequence, s.split) for s in samples}) == len({s.sequence for s in samples}) == 7
    assert {s.split for s in samples} == {"train", "val", "test"}


def test_images_of_mixed_sizes_go_all_the_way(tmp_path: Path) -> None:
    """Landscape, portrait, smaller than a crop, larger than the graph; the bundle predicts what was evaluated."""
    write_own_dataset(tmp_path / "own", [(64, 96), (120, 70), (40, 50), (150, 260)])
    write_small_profile(
        tmp_path, ["pspnet_r18"], dataset={"adapter": "folder", "source": "own"}, export={"resize": "letterbox"},
        curation={"rules": {"leakage": {"policy": "warn"}}}, benchmark={"images": 3},
    )  # fmt: skip
    done = repro(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    exported = json.loads((tmp_path / "reports/metrics/export/pspnet_r18.json").read_text())
    assert exported["artifacts"][0]["parity"]["pixel_agreement"] >= 0.9999
    bundle = tmp_path / "artifacts/release/pspnet_r18"
    assert json.loads((bundle / "preprocessing.json").read_text())["resize"]["mode"] == "letterbox"
    for sample in read_samples(tmp_path / "data/curated/samples.csv", "test"):
        command = [sys.executable, str(bundle / "predict.py"), str(tmp_path / sample.image), "--labels", "labels.png"]
        assert run(command, tmp_path).returncode == 0
        labels = read_mask(tmp_path / "labels.png")
        evaluated = read_mask(tmp_path / f"artifacts/evaluation/pspnet_r18/predictions/{sample.id}.png")
        assert labels.shape == read_image(tmp_path / sample.image).shape[:2]
        assert (labels == evaluated).mean() > 0.9  # whichever precision ships
    assert run([sys.executable, str(bundle / "self_test.py")], tmp_path).returncode == 0


def test_a_class_without_a_pixel_stops_the_pipeline_unless_it_may_warn(tmp_path: Path) -> None:
    write_own_dataset(tmp_path / "own")
    table = tmp_path / "own/classes.yaml"
    kiosk = "  - {name: kiosk, color: [7, 7, 7], ids: [7]}"
    table.write_text(table.read_text().replace("void:", f"{kiosk}\nvoid:"))
    rules = {"leakage": {"policy": "warn"}}
    for policy in ("block", "warn"):
        rules["untrained_class"] = {"policy": policy}
        write_small_profile(
            tmp_path, ["pspnet_r18"], dataset={"adapter": "folder", "source": "own"}, curation={"rules": rules}
        )
        done = repro(tmp_path, "curate")
        assert (done.returncode == 0) == (policy == "warn"), done.stderr
        said = done.stdout if policy == "warn" else done.stderr
        assert "no pixel of class kiosk (ids 7)" in said
        assert (tmp_path / "data/curated/samples.csv").exists() == (policy == "warn")


def test_a_changed_method_reruns_only_what_it_touches(profile: Path) -> None:
    params = (profile / "params.yaml").read_text()
    (profile / "params.yaml").write_text(f"{params}methods: {{gdd: {{temperature: 3.0}}}}\n")
    assert repro(profile, "resolve").returncode == 0
    plan = json.loads(run(["dvc", "status", "--json"], profile).stdout)
    (profile / "params.yaml").write_text(params)
    assert repro(profile, "resolve").returncode == 0
    assert set(plan) == {"preflight", "student-pspnet_r18_gdd", "quantize-pspnet_r18_gdd"}


def test_a_comparison_trains_what_the_run_trained_and_ends_in_a_verdict(profile: Path) -> None:
    """Its baseline is the run of the same seed, weight by weight."""
    command = [sys.executable, "-m", "pipeline", "compare", "--seeds", "1", "--split", "val", "none", "kd"]
    first, second = run(command, profile), run([*command, "inherited"], profile)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "2 of 3 trials are finished already" in second.stderr
    record = json.loads((profile / "reports/comparison/pspnet_r18/val/comparison.json").read_text())
    assert record["candidates"]["kd"]["gain"]["verdict"] == "one seed: no verdict"
    ours = load_file(profile / "artifacts/comparison/pspnet_r18/none_seed_0/checkpoint.safetensors")
    theirs = load_file(profile / "artifacts/students/pspnet_r18/checkpoint.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    unknown = run([*command, "kdd"], profile)
    assert unknown.returncode == 1
    assert "ParamsError: no candidate kdd" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_training_killed_hard_goes_on(profile: Path) -> None:
    """DVC removes the outputs before it runs a stage; the progress must lie elsewhere."""
    params = (profile / "params.yaml").read_text()
    (profile / "params.yaml").write_text(params.replace("iterations: 8", "iterations: 400"))
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
        assert "teacher: resuming at iteration" in done.stdout + done.stderr
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
        for folder in ("data", "own"):
            (tmp_path / name / folder).symlink_to(profile / folder)
        (tmp_path / name / "artifacts").mkdir()
        (tmp_path / name / "artifacts/teacher").symlink_to(profile / "artifacts/teacher")
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    assert run(command, whole).returncode == 0
    seen = 0
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
    assert "pspnet_r18_gdd: resuming at iteration" in done.stdout + done.stderr
    file = "artifacts/students/pspnet_r18_gdd/checkpoint.safetensors"
    assert (cut / file).read_bytes() == (whole / file).read_bytes()


def _last_change(folder: Path) -> float:
    return max((state.stat().st_mtime for state in folder.glob("*/state.safetensors")), default=0)


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        (["prepare"], ("adapter: folder", "adapter: camvid"), "DatasetError: no folder own/train"),
        (["prepare"], ("source: own", "source: nowhere"), "DatasetError: no folder nowhere"),
        (["teacher"], ("scale_max: 1.5", "scale_maks: 1.5"), "unknown key; did you mean 'scale_max'"),
        (["teacher"], ("backbone: resnet10t", "backbone: resnet10x"), "ModelError: timm knows no backbone 'resnet10x'"),
        (["student", "nobody"], ("", ""), "ParamsError: stage student has no run 'nobody'"),
        (["teacher"], ("learning_rate: 0.", "learning_rate: 1.0e+30 #"), "TrainingError: teacher"),
    ],
)  # fmt: skip
def test_bad_input_ends_in_one_message(
    profile: Path, tmp_path: Path, stage: list[str], change: tuple[str, str], message: str
) -> None:
    for name in ("own", "data"):
        (tmp_path / name).symlink_to(profile / name)
    text = (profile / "params.yaml").read_text()
    assert change[0] in text
    (tmp_path / "params.yaml").write_text(text.replace(*change) if change[0] else text)
    if stage == ["prepare"]:
        (tmp_path / "data").unlink()
    done = run([sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]], tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts").exists() or not list((tmp_path / "artifacts").rglob("*.safetensors"))
