"""A comparison on a toy: what is trained again, what is not, and what it leaves."""

import json
from dataclasses import replace

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from pipeline.comparison import compare as compare_module
from pipeline.comparison.code import ROOT
from pipeline.comparison.compare import compare
from pipeline.comparison.plan import NothingToCompare, Places, plan_trials
from pipeline.comparison.trial import is_finished, run_trial
from pipeline.comparison.verdict import TrialDamaged
from pipeline.params import Params, load_params
from tests.toy import toy_segmenter


@pytest.fixture(scope="module")
def params() -> Params:
    default = load_params(ROOT / "params.yaml")
    run = default.runs["pspnet_r18"]
    network = replace(run.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    training = replace(default.training, crop_height=32, crop_width=48, batch_size=2, workers=0, log_every=2)
    candidates = {name: default.comparison.candidates[name] for name in ("gdd", "kd")}
    return replace(
        default,
        runs={"pspnet_r18": replace(run, network=network, iterations=4)},
        training=training,
        comparison=replace(
            default.comparison, candidates=candidates, momentum_shift={}, inherit_layers=[], unlabelled_share={}
        ),
    )


@pytest.fixture(autouse=True)
def teacher(places: Places) -> None:
    segmenter, design = toy_segmenter()
    facts = {"backbone_weights": "none", "method": "none", "precision": "fp32"}
    save_checkpoint(segmenter, design, facts, places.teacher)


def test_only_what_has_changed_is_done_again(params: Params, places: Places) -> None:
    trial = plan_trials(params, ["kd"], 1)[1]
    folder, log = places.runs / trial.name, places.runs / "log"
    assert not is_finished(trial, params, "val", places)
    run_trial(trial, params, "val", places, log)
    assert is_finished(trial, params, "val", places)
    assert "kd_seed_0: 4/4" in log.read_text()

    weights = (folder / "checkpoint.safetensors").stat().st_mtime_ns
    assert not is_finished(trial, params, "test", places)
    run_trial(trial, params, "test", places, log)
    assert (folder / "checkpoint.safetensors").stat().st_mtime_ns == weights  # judged on another split, not trained
    assert is_finished(trial, params, "val", places)

    hotter = replace(params, methods=replace(params.methods, kd=replace(params.methods.kd, temperature=4.0)))
    other = replace(params, methods=replace(params.methods, cwd=replace(params.methods.cwd, temperature=9.0)))
    assert not is_finished(trial, hotter, "val", places)
    assert is_finished(trial, other, "val", places)  # a method that this trial does not use

    record = json.loads((folder / "trained.json").read_text())
    files = record["code"]["files"]
    assert {"pipeline/distillation/kd.py", "pipeline/training/loop.py", "models/pspnet.py"} <= set(files)
    assert not {"pipeline/distillation/gdd.py", "pipeline/distillation/__init__.py"} & set(files)
    record["code"]["digest"] = "of other code"
    (folder / "trained.json").write_text(json.dumps(record))
    assert not is_finished(trial, params, "val", places)


def test_a_new_teacher_is_a_new_trial(params: Params, places: Places) -> None:
    trial = plan_trials(params, ["kd"], 1)[1]
    run_trial(trial, params, "val", places, places.runs / "log")
    segmenter, design, facts = load_checkpoint(places.teacher)
    save_checkpoint(segmenter, design, {**facts, "method": "another"}, places.teacher)
    assert not is_finished(trial, params, "val", places)


def test_a_comparison_resumes_and_leaves_its_verdict(
    params: Params, places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_ = plan_trials(params, ["kd"], 2)
    run_trial(first, params, "val", places, places.runs / "log")
    compare(params, ["kd"], 2, "val", places)
    assert "1 of 4 trials are finished already" in capsys.readouterr().err

    record = json.loads((places.reports / "comparison.json").read_text())
    assert set(record["candidates"]) == {"kd"}
    entry = record["candidates"]["kd"]
    assert len(entry["miou"]) == len(entry["gain"]["differences"]) == 2
    assert entry["gain"]["low"] <= entry["gain"]["mean"] <= entry["gain"]["high"]
    assert all(seconds > 0 for seconds in entry["seconds_per_iteration"])
    assert len(entry["seconds_per_iteration"]) == 2
    assert len(record["machines"]) == 1
    assert entry["peak_memory_bytes"] > 1e8
    assert set(entry["gain_per_class"]) == {"ground", "box", "pond"}
    page = _page(places)
    assert "`python -m pipeline.comparison kd --seeds 2 --split val --recipe pspnet_r18`" in page
    assert page.count("| `kd` |") == 2
    assert "| student | pspnet on resnet10t, from scratch; output stride 16, images as they are |" in page
    assert "energy is not known: no GPU said it" in page or torch.cuda.is_available()
    for name in ("gains", "classes", "training", "examples"):
        assert (places.reports / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"({name}.png)" in page

    def never(*_: object) -> None:
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr(compare_module, "ProcessPoolExecutor", never)
    compare(params, ["kd"], 2, "val", places)
    assert json.loads((places.reports / "comparison.json").read_text()) == record

    next((places.runs / "kd_seed_0/val/predictions").iterdir()).write_bytes(b"cut off")
    with pytest.raises(TrialDamaged, match=r"predictions/.*delete the folder of that trial and run the same"):
        compare(params, ["kd"], 2, "val", places)


def test_a_candidate_that_was_finished_earlier_stays_on_the_page(params: Params, places: Places) -> None:
    for trial in plan_trials(params, [], 1):
        run_trial(trial, params, "val", places, places.runs / "log")

    def shown() -> set[str]:
        return set(json.loads((places.reports / "comparison.json").read_text())["candidates"])

    compare(params, ["kd"], 1, "val", places)
    assert shown() == {"gdd", "kd"}
    assert _page(places).count("| `gdd` |") == _page(places).count("| `kd` |") == 2

    (places.runs / "gdd_seed_0/trained.json").write_text("{}")  # it holds no longer
    compare(params, ["kd"], 1, "val", places)
    assert shown() == {"kd"}


def test_without_a_teacher_it_says_what_to_run(params: Params, places: Places) -> None:
    places.teacher.unlink()
    with pytest.raises(NothingToCompare, match=r"teacher.safetensors not there; run `dvc repro teacher` first"):
        compare(params, ["kd"], 1, "val", places)


def test_nothing_is_compared_on_images_that_were_trained_on(params: Params, places: Places) -> None:
    for split in ("train", "val"):
        both = replace(params, training=replace(params.training, splits=["train", "val"]))
        with pytest.raises(NothingToCompare, match=rf"--split {split} is among training.splits"):
            compare(both, ["kd"], 1, split, places)


def test_a_failed_trial_names_itself_and_its_log(params: Params, places: Places) -> None:
    (places.samples.parent / "image_5.png").write_bytes(b"no picture")
    with pytest.raises(compare_module.TrialFailed, match=r"none_seed_0: .*image_5.png.*its output: .*none_seed_0.log"):
        compare(params, ["kd"], 1, "val", places)


def _page(places: Places) -> str:
    return (places.reports / "README.md").read_text()
