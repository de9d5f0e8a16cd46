"""What is said about a number is true of the number, also when it is a loss or nothing."""

from dataclasses import replace

import pytest

from pipeline.params.runs import PruneParams
from pipeline.reporting import formatting
from pipeline.reporting.inputs import Inputs, Run, load
from pipeline.reporting.summary import describe_gain, describe_seeds, headline, stage_facts
from pipeline.stage_table import SCRIPTS
from tests.reporting.conftest import FakeProfile


def _inputs(pristine: FakeProfile, *gains: float | None) -> Inputs:
    """Students with these gains in points over baselines of 50 %; None for a baseline."""
    inputs = load(pristine.runs, "test", pristine.folders)
    runs = {}
    for gain in gains:
        run = inputs.runs["pspnet_r18" if gain is None else "pspnet_r18_gdd"]
        evaluation = replace(run.evaluation, miou=0.5 + (gain or 0) / 100)
        runs[run.name] = replace(run, evaluation=evaluation, baseline_miou=0.5)
    return replace(inputs, runs=runs)


@pytest.mark.parametrize(
    ("gain", "shown", "named"),
    [
        (2.61, "+2.6", ("gain", "2.6 points")),
        (-0.84, "\N{MINUS SIGN}0.8", ("loss", "0.8 points")),
        (-0.04, "0.0", ("no difference",)),
        (0.04, "0.0", ("no difference",)),
        (None, "\N{EM DASH}", ("teacher",)),
    ],
)
def test_gain_and_loss(pristine: FakeProfile, gain: float | None, shown: str, named: tuple[str, ...]) -> None:
    assert formatting.points(gain) == shown
    described = describe_gain(_inputs(pristine, gain).best)
    assert all(value in described for value in named), described


def test_headline_does_not_hide_that_distillation_did_not_help(pristine: FakeProfile) -> None:
    assert "pspnet_r18_gdd " in headline(_inputs(pristine, None, 2.0))
    lost = headline(_inputs(pristine, None, -2.0))
    assert lost.startswith("pspnet_r18 ")
    assert "loss" in lost
    assert "2.0 points" in lost
    assert "distilled" in headline(_inputs(pristine, None))


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "100.000"), (0.9999999, "99.999"), (0.99998, "99.998"), (0.57, "57.000"), (0.0, "0.000")]
)
def test_agreement_is_100_percent_only_if_it_is(share: float, shown: str) -> None:
    assert formatting.agreement(share) == f"{shown}{formatting.THIN_SPACE}%"


def test_formats() -> None:
    assert formatting.scientific(3.14e-5).split(formatting.THIN_SPACE) == ["3.1", "\N{MULTIPLICATION SIGN}", "10⁻⁵"]
    assert formatting.counted(1, "run") == "1 run"
    assert formatting.number(-0.0001, 3) == "0.000"
    assert formatting.times(None) == "\N{EM DASH}"
    assert formatting.times(3.451) == f"3.45{formatting.THIN_SPACE}\N{MULTIPLICATION SIGN}"
    assert formatting.listed(["a"]) == "a"
    assert formatting.listed(["a", "b", "c"]) == "a, b and c"
    assert formatting.runtime("openvino") == "OpenVINO"
    assert formatting.runtime("a_new_one") == "a_new_one"
    assert formatting.counted(1200, "run") == f"1{formatting.THIN_SPACE}200 runs"
    assert formatting.milliseconds(None) == formatting.number(None) == formatting.percent(None) == "n/a"


def test_a_student_is_named_by_what_makes_it_small(pristine: FakeProfile) -> None:
    run = pristine.runs["pspnet_r18_gdd"]
    assert formatting.network(run) == "stride 8"
    smaller = replace(
        run,
        network=replace(run.network, input_scale=0.667, output_stride=16),
        prune=PruneParams(source="students/big", keep=0.5),
    )
    stride, image, channels = formatting.network(smaller).split(", ")
    assert (stride, image) == ("stride 16", "image \N{MULTIPLICATION SIGN} 0.667")
    assert channels.startswith(f"50{formatting.THIN_SPACE}% ")
    assert channels.endswith(" big")


def test_several_seeds_are_counted_per_recipe(pristine: FakeProfile) -> None:
    inputs = load(pristine.runs, "test", pristine.folders)
    assert "One seed" in describe_seeds(inputs)

    first = inputs.runs["pspnet_r18_gdd"]
    other: Run = replace(
        first,
        name="again",
        params=replace(first.params, seed=1),
        evaluation=replace(first.evaluation, miou=first.baseline_miou - 0.01),
    )
    text = describe_seeds(replace(inputs, runs={**inputs.runs, "again": other}))
    assert all(value in text for value in ("2 runs", "\N{MINUS SIGN}1.0", "+2.6 points")), text


def test_every_stage_has_a_fact(pristine: FakeProfile) -> None:
    inputs = load(pristine.runs, "test", pristine.folders)
    facts = {stage: fact.replace(formatting.THIN_SPACE, " ") for stage, fact in stage_facts(inputs).items()}
    assert list(facts) == [stage for stage in SCRIPTS if stage != "pretrain"]
    assert facts["teacher"] == "pspnet, 63.1 %"
    assert "1.27 points" in facts["quantize"]
    assert "3.08 ms" in facts["benchmark"]
    assert "12 of 24" in facts["engine"]
    assert "3 of 4" in facts["release"]


def test_the_overview_shows_pretraining_where_a_student_began_with_it(pristine: FakeProfile) -> None:
    inputs = load(pristine.runs, "test", pristine.folders)
    first = inputs.runs["pspnet_r18"]
    words = "pre-trained here: 700 iterations on 367 unlabelled images, imitating resnet50 (file r50, sha256 0123)"
    evaluation = replace(first.evaluation, backbone_weights=words)
    begun = replace(first, evaluation=evaluation)
    inputs = replace(inputs, runs={**inputs.runs, "pspnet_r18": begun})
    facts = stage_facts(inputs)
    assert list(facts) == list(SCRIPTS)
    assert facts["pretrain"] == "700 iterations"
