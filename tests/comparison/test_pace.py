"""Equal time: what is timed, what it is turned into, and when it is timed again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.checkpoint import save_checkpoint
from pipeline.code_digest import ROOT
from pipeline.comparison.compare import compare
from pipeline.comparison.pace import PROBED, Pace, equal_time, probe, read_pace, write_pace
from pipeline.comparison.plan import ComparisonPaths, plan_trials
from pipeline.params.tree import Params, load_params
from tests.toy import toy_segmenter


@pytest.fixture
def params(paths: ComparisonPaths) -> Params:
    segmenter, design = toy_segmenter()
    facts = {"backbone_weights": "none", "method": "none", "precision": "fp32"}
    save_checkpoint(segmenter, design, facts, paths.teacher)
    default = load_params(ROOT / "params.yaml")
    run = default.runs["pspnet_r18"]
    network = replace(run.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    training = replace(default.training, crop_height=32, crop_width=48, batch_size=2, workers=0, log_every=2)
    return replace(default, runs={"pspnet_r18": replace(run, network=network, iterations=20)}, training=training)


def _pace(times_baseline: float) -> Pace:
    baseline = [0.3, 0.2, 0.5]
    seconds = [times_baseline * baseline[0], 9.0, 0.1 * baseline[2]]  # the median of the rounds counts
    return Pace(inputs="", seconds=seconds, baseline_seconds=baseline, machine={}, threads=1)


def test_every_candidate_gets_the_seconds_of_the_baseline(params: Params) -> None:
    trials = plan_trials(params, ["kd", "gdd"], 2)
    paces = {"kd": _pace(4 / 3), "gdd": _pace(7 / 3)}
    given = equal_time(trials, paces)
    assert [(trial.candidate, trial.run.iterations) for trial in given] == [("none", 20), ("gdd", 9), ("kd", 15)] * 2
    names = {trial.name for trial in given}
    assert len(names) == 6
    assert names & {trial.name for trial in trials} == {"none_seed_0", "none_seed_1"}  # the same baseline as ever


def test_a_slow_candidate_learns_at_least_once(params: Params) -> None:
    _, slow = equal_time(plan_trials(params, ["kd"], 1), {"kd": _pace(44.0)})
    assert slow.run.iterations == 1


def test_a_pace_is_of_its_candidate_machine_and_threads(
    params: Params, paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = plan_trials(params, ["kd"], 1)[1]
    assert read_pace(trial, params, paths) is None
    assert 0 < probe(trial, params, paths) < 10
    pace = write_pace(trial, params, paths, [0.2, 0.3, 0.9], [0.1, 0.1, 0.1])
    assert read_pace(trial, params, paths) == pace
    assert pace.times_baseline == pytest.approx(3.0)
    assert not (paths.scratch / "pace").exists()
    hotter = replace(params, methods={"kd": {"temperature": 4.0}})
    assert read_pace(trial, hotter, paths) is None
    assert pace.holds_here
    monkeypatch.setattr("pipeline.comparison.pace.available_threads", lambda: 99)
    assert not pace.holds_here


def test_what_a_method_learns_before_counts(
    params: Params, paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(out: Path, **_: object) -> None:
        out.mkdir(parents=True)
        for name, iterations, rate in (("training", PROBED, 4.0), ("training_maskd", PROBED // 2, 2.0)):
            rows = [0.1, 0.1, *[rate] * (iterations - 2)]  # the first ones are always slow
            (out / f"{name}.csv").write_text("\n".join(["iterations_per_s", *map(str, rows)]))

    monkeypatch.setattr("pipeline.comparison.pace.train_student", train)
    trial = plan_trials(params, ["maskd"], 1)[1]
    assert probe(trial, params, paths) == pytest.approx(1 / 4.0 + 0.5 / 2.0)


@pytest.mark.slow
def test_both_budgets_stand_on_one_page(
    params: Params, paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.comparison.compare.ROUNDS", 1)  # each round starts processes
    short = replace(params, runs={name: replace(run, iterations=6) for name, run in params.runs.items()})
    compare(short, ["gdd"], 1, "val", paths, "time")
    record = json.loads((paths.reports / "comparison.json").read_text())
    assert set(record["candidates"]) == {"time"}
    assert 1 <= record["candidates"]["time"]["gdd"]["iterations"] <= record["baseline"]["iterations"] == 6
    before = record["candidates"]["time"]["gdd"]
    compare(short, ["kd"], 1, "val", paths, "time")
    record = json.loads((paths.reports / "comparison.json").read_text())
    assert set(record["candidates"]["time"]) == {"gdd", "kd"}
    assert record["candidates"]["time"]["gdd"] == before  # it was not timed, nor trained, again
    monkeypatch.setattr("pipeline.comparison.pace.available_threads", lambda: 99)  # as on another machine
    compare(short, ["gdd"], 1, "val", paths)
    record = json.loads((paths.reports / "comparison.json").read_text())
    assert {budget: set(found) for budget, found in record["candidates"].items()} == {
        "iterations": {"gdd"}, "time": {"gdd", "kd"},
    }  # fmt: skip
    assert record["candidates"]["iterations"]["gdd"]["iterations"] == 6
    page = (paths.reports / "README.md").read_text()
    assert page.count("--budget ") == 2
    for name in ("gains", "gains_time"):
        assert (paths.reports / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"({name}.png)" in page
