"""Steps of the GPU profiles at full size fit where they fitted before: memory is counted, nothing is computed."""

from dataclasses import replace

import pytest

from pipeline.code_digest import ROOT
from pipeline.params.tree import load_params
from pipeline.plan.command import cost_of
from pipeline.plan.fake_gpu import GIBIBYTE
from pipeline.plan.step_cost import CARDS, fits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "classes", "method", "most_gib"),
    [
        ("camvid", 11, "gdd", 3.1),
        ("camvid", 11, "cirkd_memory", 2.9),
        ("cityscapes", 19, "cirkd_memory", 3.4),
    ],
)
def test_a_step_needs_no_more_memory(profile: str, classes: int, method: str, most_gib: float) -> None:
    params = load_params(ROOT / f"profiles/{profile}/params.yaml")
    run = replace(params.runs["pspnet_r18"], distill={method: 1.0})
    cost = cost_of(run, params.training, params, tuple(map(str, range(classes))), CARDS["h100"])
    assert 0.8 * most_gib < cost.peak_bytes / GIBIBYTE < most_gib
    assert 0 < cost.fixed_bytes < cost.peak_bytes
    assert fits(cost, CARDS["h100"])
    assert not fits(cost, CARDS["h100"]._replace(memory_gib=most_gib))  # nothing is left for CUDA itself
