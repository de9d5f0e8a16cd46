"""What is trained for a comparison."""

from dataclasses import asdict

import pytest

from pipeline.code_digest import ROOT
from pipeline.comparison.candidates import candidates_of
from pipeline.comparison.plan import plan_trials, with_recipe
from pipeline.errors import ParamsError
from pipeline.params.tree import Params, load_params
from tests.raising import raises


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def test_seed_by_seed_and_the_baseline_first(params: Params) -> None:
    trials = plan_trials(params, ["kd", "gdd"], 2)
    assert [trial.name for trial in trials] == [
        "none_seed_0", "gdd_seed_0", "kd_seed_0", "none_seed_1", "gdd_seed_1", "kd_seed_1",
    ]  # fmt: skip


def test_naming_the_baseline_or_nothing_changes_nothing(params: Params) -> None:
    assert plan_trials(params, ["none", "kd"], 1) == plan_trials(params, ["kd"], 1)
    assert {trial.candidate for trial in plan_trials(params, [], 1)} == {"none", *candidates_of(params)}


def test_trials_differ_in_seed_and_teaching_only(params: Params) -> None:
    recipe = asdict(params.runs[params.comparison.recipe])
    for trial in plan_trials(params, [], 3):
        differing = {key for key, value in asdict(trial.run).items() if value != recipe[key]}
        assert differing <= {
            "seed",
            "distill",
            "momentum_shift",
            "inherit_layers",
            "unlabelled_share",
            "max_gradient_norm",
        }
        assert trial.run.has_teacher == (trial.candidate != "none")


def test_another_baseline_gives_another_recipe(params: Params) -> None:
    trials = plan_trials(with_recipe(params, "deeplabv3_r18"), ["kd"], 1)
    assert {trial.run.network.architecture for trial in trials} == {"deeplabv3"}
    assert trials[0].run == params.runs["deeplabv3_r18"]
    with raises(ParamsError, "--recipe pspnet_r18_gdd"):
        with_recipe(params, "pspnet_r18_gdd")
    with raises(ParamsError, "'pspnet'", "params.yaml"):
        with_recipe(params, "pspnet")


@pytest.mark.parametrize(
    ("candidates", "values"),
    [
        (["kd", "gddd"], ("gddd", "none, gdd,", "comparison.candidates")),
        (["none"], ("'none'", "gdd,")),
    ],
)
def test_what_cannot_be_compared_is_said(params: Params, candidates: list[str], values: tuple[str, ...]) -> None:
    with raises(ParamsError, *values):
        plan_trials(params, candidates, 1)
