"""The standard candidates have the authors' weights, brought to the maps of the profile."""

from dataclasses import replace

import pytest

from pipeline.code_digest import ROOT
from pipeline.comparison.candidates import UNLIMITED, candidates_of
from pipeline.distillation import METHODS
from pipeline.params.runs import TeachingParams
from pipeline.params.tree import load_params
from pipeline.stage_table import run_stages


def _weights(profile: str, recipe: str = "pspnet_r18") -> dict[str, dict[str, float]]:
    params = load_params(ROOT / profile / "params.yaml")
    chosen = replace(params, comparison=replace(params.comparison, recipe=recipe))
    return {name: dict(teaching.distill) for name, teaching in candidates_of(chosen).items()}


def test_at_the_published_sizes_the_weights_are_the_published_ones() -> None:
    """512 x 512 at output stride 8, features of 2048 and 512 channels."""
    found = _weights("profiles/cityscapes")
    assert found["mgd_cwd"] == {"mgd": pytest.approx(2e-5), "cwd": 3.0}
    assert found["at"] == {"kd": 1.0, "at": pytest.approx(5000.0)}  # 10000 at twice the cells
    assert found["cwd_features"] == {"kd": 1.0, "cwd": 3.0, "cwd_features": pytest.approx(200.0)}
    assert found["gdd"] == {"gdd": 145.0}
    assert _weights("profiles/cityscapes", "deeplabv3_r18")["gdd_cwd"] == {"gdd": 175.0, "cwd": 3.0}


def test_smaller_maps_have_other_weights() -> None:
    """64 x 96 at output stride 8: 8 x 12 cells; a teacher of 512 channels, heads of 128 on both sides."""
    found = _weights(".")
    assert found["mgd"]["mgd"] == pytest.approx(2e-5 * (2048 * 64 * 64) / (512 * 8 * 12))
    assert found["at"]["at"] == pytest.approx(10000 * (8 * 12) / (64 * 128))
    assert found["cwd_features"]["cwd_features"] == pytest.approx(50.0)


def test_half_the_image_has_a_quarter_of_the_cells() -> None:
    """Crops of 180 x 180 at half size, output stride 16: 12 x 12 cells instead of 23 x 23."""
    profile = load_params(ROOT / "profiles/camvid-cpu/params.yaml")
    params = replace(profile, training=replace(profile.training, crop_height=360, crop_width=360))
    run, teacher = params.runs["pspnet_r18"], params.teacher
    half = replace(
        params,
        teacher=replace(teacher, network=replace(teacher.network, input_scale=0.5)),
        runs={"pspnet_r18": replace(run, network=replace(run.network, input_scale=0.5))},
        training=replace(params.training, image_scale=0.5, crop_height=180, crop_width=180),
    )
    for chosen, cells in ((params, 23 * 23), (half, 12 * 12)):
        assert candidates_of(chosen)["at"].distill["at"] == pytest.approx(10000 * cells / (64 * 128))


def test_a_profile_adds_and_changes() -> None:
    params = load_params(ROOT / "params.yaml")
    mine = {"gdd": TeachingParams(distill={"gdd": 3.0}), "mine": TeachingParams(inherit_layers=True)}
    found = candidates_of(replace(params, comparison=replace(params.comparison, candidates=mine)))
    assert dict(found["gdd"].distill) == {"gdd": 3.0}
    assert found["mine"].inherit_layers
    assert dict(found["cwd"].distill) == {"cwd": 3.0}


def test_every_method_can_be_compared() -> None:
    assert {method for weights in _weights(".").values() for method in weights} == METHODS.keys()


def test_gdd_without_a_limit_of_gradients_is_a_training_without() -> None:
    params = load_params(ROOT / "params.yaml")
    limits = []
    for name in ("gdd", "gdd_unlimited"):
        run = replace(params.runs["pspnet_r18"], **vars(candidates_of(params)[name]))
        limits.append(run_stages(params, "x", run)["student"].settings["training"].max_gradient_norm)
    assert limits == [params.training.max_gradient_norm, UNLIMITED]
