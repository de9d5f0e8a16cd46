"""A comparison on a toy: what is trained again, what is not, and what it leaves."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from pipeline.code_digest import ROOT, digest
from pipeline.comparison.compare import compare
from pipeline.comparison.plan import ComparisonPaths, plan_trials
from pipeline.comparison.trial import is_finished, run_trial
from pipeline.errors import ArtifactError, ParamsError, TrainingError
from pipeline.params.runs import TeachingParams
from pipeline.params.tree import Params, load_params
from tests.comparison.conftest import paths_in
from tests.raising import raises
from tests.toy import toy_segmenter


@pytest.fixture(scope="module")
def params() -> Params:
    default = load_params(ROOT / "params.yaml")
    run = default.runs["pspnet_r18"]
    network = replace(run.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    training = replace(default.training, crop_height=32, crop_width=48, batch_size=2, workers=0, log_every=2)
    return replace(default, runs={"pspnet_r18": replace(run, network=network, iterations=4)}, training=training)


@pytest.fixture(scope="module")
def finished(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, and trials of seed 0 that learned from it; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    paths = paths_in(folder)
    segmenter, design = toy_segmenter()
    facts = {"backbone_weights": "none", "method": "none", "precision": "fp32"}
    save_checkpoint(segmenter, design, facts, paths.teacher)
    for trial in plan_trials(params, ["gdd", "kd"], 1):
        run_trial(trial, params, paths, "val")
    return folder


@pytest.fixture(autouse=True)
def teacher(finished: Path, paths: ComparisonPaths) -> None:
    shutil.copy(finished / paths.teacher.name, paths.teacher)


@pytest.fixture
def trials(finished: Path, paths: ComparisonPaths) -> None:
    """Copies of those trials, for the same samples at another place."""
    shutil.copytree(finished / paths.trials.name, paths.trials)


def test_only_what_has_changed_is_done_again(
    params: Params, paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = plan_trials(params, ["kd"], 1)[1]
    folder = paths.trials / trial.name
    assert not is_finished(trial, params, "val", paths)
    run_trial(trial, params, paths, "val")
    assert is_finished(trial, params, "val", paths)
    assert "kd_seed_0: 4/4" in capsys.readouterr().out

    weights = (folder / "checkpoint.safetensors").stat().st_mtime_ns
    assert not is_finished(trial, params, "test", paths)
    run_trial(trial, params, paths, "test")
    assert (folder / "checkpoint.safetensors").stat().st_mtime_ns == weights  # judged on another split, not trained
    assert is_finished(trial, params, "val", paths)

    hotter = replace(params, methods={"kd": {"temperature": 4.0}})
    other = replace(params, methods={"cwd": {"temperature": 9.0}})
    assert not is_finished(trial, hotter, "val", paths)
    assert is_finished(trial, other, "val", paths)  # a method that this trial does not use

    for module, matters in (("kd", True), ("gdd", False), ("student", True)):
        with monkeypatch.context() as patch:  # as if the file had changed
            gone = ROOT / f"pipeline/distillation/{module}.py"
            patch.setattr("pipeline.stage_table.digest", lambda files, gone=gone: digest(set(files) - {gone}))
            assert is_finished(trial, params, "val", paths) != matters


@pytest.mark.usefixtures("trials")
def test_a_new_teacher_is_a_new_trial(params: Params, paths: ComparisonPaths) -> None:
    trial = plan_trials(params, ["kd"], 1)[1]
    assert is_finished(trial, params, "val", paths)
    segmenter, design, facts = load_checkpoint(paths.teacher)
    save_checkpoint(segmenter, design, {**facts, "method": "another"}, paths.teacher)
    assert not is_finished(trial, params, "val", paths)


@pytest.mark.slow
@pytest.mark.usefixtures("trials")
def test_a_comparison_resumes_and_leaves_its_verdict(
    params: Params, paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(params, ["kd"], 2, "val", paths)
    assert re.findall(r"\b\d/4\b", capsys.readouterr().err)[0] == "2/4"  # of the trials, before any is run

    record = json.loads((paths.reports / "comparison.json").read_text())
    assert set(record["candidates"]) == {"iterations"}
    assert set(record["candidates"]["iterations"]) == {"kd"}  # of gdd there are not all seeds
    entry = record["candidates"]["iterations"]["kd"]
    assert len(entry["miou"]) == len(entry["gain"]["differences"]) == 2
    assert entry["gain"]["low"] <= entry["gain"]["mean"] <= entry["gain"]["high"]
    assert all(seconds > 0 for seconds in entry["seconds_per_iteration"])
    assert len(entry["seconds_per_iteration"]) == 2
    assert len(record["machines"]) == 1
    assert entry["peak_memory_bytes"] > 1e8
    assert set(entry["gain_per_class"]) == {"ground", "box", "pond"}
    page = _page(paths)
    assert "`python -m pipeline compare kd --seeds 2 --split val --recipe pspnet_r18 --budget iterations`" in page
    assert page.count("| `kd` |") == 2
    (student,) = [line for line in page.splitlines() if line.startswith("| student | ")]
    assert re.findall(r"pspnet|resnet10t|\b\d+\b", student) == ["pspnet", "resnet10t", "8"]
    assert "n/a" in page or torch.cuda.is_available()
    for name in ("gains", "classes", "training", "examples"):
        assert (paths.reports / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"({name}.png)" in page

    def never(*_: object) -> None:
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr("pipeline.comparison.process.ProcessPoolExecutor", never)
    compare(params, ["kd"], 2, "val", paths)
    assert json.loads((paths.reports / "comparison.json").read_text()) == record

    damaged = next((paths.trials / "kd_seed_0/val/predictions").iterdir())
    damaged.write_bytes(b"cut off")
    with raises(ArtifactError, damaged, f"{paths.trials},"):
        compare(params, ["kd"], 2, "val", paths)


@pytest.mark.usefixtures("trials")
def test_a_candidate_that_was_finished_earlier_stays_on_the_page(params: Params, paths: ComparisonPaths) -> None:
    def shown() -> set[str]:
        return set(json.loads((paths.reports / "comparison.json").read_text())["candidates"]["iterations"])

    compare(params, ["kd"], 1, "val", paths)
    assert shown() == {"gdd", "kd"}
    assert _page(paths).count("| `gdd` |") == _page(paths).count("| `kd` |") == 2

    (paths.trials / "gdd_seed_0/trained.json").write_text("{}")  # it holds no longer
    compare(params, ["kd"], 1, "val", paths)
    assert shown() == {"kd"}


@pytest.mark.usefixtures("trials")
def test_a_candidate_in_another_precision_than_the_baseline_is_named(params: Params, paths: ComparisonPaths) -> None:
    metrics = paths.trials / "kd_seed_0/val/metrics.json"
    trained = json.loads(metrics.read_text())
    compare(params, ["kd"], 1, "val", paths)
    assert f"| precision | {trained['precision']} |" in _page(paths)
    assert "training.precision" not in _page(paths)
    metrics.write_text(json.dumps(trained | {"precision": "fp16 on another machine"}))
    compare(params, ["kd"], 1, "val", paths)
    record = json.loads((paths.reports / "comparison.json").read_text())
    assert record["candidates"]["iterations"]["kd"]["precisions"] == ["fp16 on another machine"]
    (warning,) = [line for line in _page(paths).splitlines() if "training.precision" in line]
    assert re.findall("`[a-z]+`", warning) == ["`kd`"]


def test_without_a_teacher_it_says_what_to_run(params: Params, paths: ComparisonPaths) -> None:
    paths.teacher.unlink()
    with raises(ArtifactError, paths.teacher, "dvc repro", "repro teacher"):
        compare(params, ["kd"], 1, "val", paths)


def test_nothing_is_compared_on_images_that_were_trained_on(params: Params, paths: ComparisonPaths) -> None:
    for split in ("train", "val"):
        both = replace(params, training=replace(params.training, splits=["train", "val"]))
        with raises(ParamsError, f"--split {split}", "training.splits"):
            compare(both, ["kd"], 1, split, paths)


def test_a_failed_trial_names_itself_and_its_log(params: Params, paths: ComparisonPaths) -> None:
    (paths.samples.parent / "image_5.png").write_bytes(b"no picture")
    with raises(TrainingError, "none_seed_0:", "image_5.png", "none_seed_0.log"):
        compare(params, ["kd"], 1, "val", paths)


@pytest.mark.slow
def test_a_candidate_that_diverges_is_named_and_the_others_are_compared(params: Params, paths: ComparisonPaths) -> None:
    wild = {"wild": TeachingParams(distill={"kd": 1e30}, max_gradient_norm=1e30)}
    tried = replace(params, comparison=replace(params.comparison, candidates=wild))
    compare(tried, ["kd", "wild"], 1, "val", paths)
    record = json.loads((paths.reports / "comparison.json").read_text())
    assert list(record["candidates"]["iterations"]) == ["kd"]
    assert list(record["diverged"]) == ["wild"]
    assert "wild_seed_0.log" in record["diverged"]["wild"]
    assert "`wild`" in _page(paths)


def _page(paths: ComparisonPaths) -> str:
    return (paths.reports / "README.md").read_text()
