"""Pruning: what was silent changes nothing when it goes, whatever goes leaves a network that trains and comes back."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from models.build import build_segmenter
from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import ModelError
from models.folding import fold_batchnorms
from models.pruning import MULTIPLE, keep_channels, layers_of, narrowed, strongest_channels, widths
from models.segmenter import Segmenter
from pipeline.measure.cost import deployed_parameters, multiply_accumulates
from tests.raising import raises
from tests.toy import TOY_DESIGN

NETWORKS = [
    ("pspnet", "resnet18_v1c"),
    ("deeplabv3", "resnet18_v1c"),
    ("pspnet", "resnet18"),
    ("pspnet", "resnet10t"),
    ("ladder", "resnet18"),
]
HEAD = 32


def _stride(architecture: str) -> Literal[16, 32]:
    return 32 if architecture == "ladder" else 16


def _network(architecture: str, backbone: str) -> Segmenter:
    """In float64, with BatchNorms as training leaves them: nothing at its beginning."""
    torch.manual_seed(0)
    design = replace(
        TOY_DESIGN, architecture=architecture, backbone=backbone, head_channels=HEAD, auxiliary_channels=HEAD,
        output_stride=_stride(architecture),
    )  # fmt: skip
    segmenter = build_segmenter(design).double().eval()
    for layer in layers_of(segmenter):
        if layer.norm is not None:
            for tensor in (layer.norm.weight, layer.norm.bias, layer.norm.running_mean, layer.norm.running_var):
                assert tensor is not None
                torch.nn.init.uniform_(tensor, 0.5, 1.0)
    return segmenter


def _silence(segmenter: Segmenter, dead: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for layer in layers_of(segmenter):
            if layer.norm is not None:
                layer.norm.weight[dead[layer.writes]] = 0
                layer.norm.bias[dead[layer.writes]] = 0


@pytest.mark.parametrize(("architecture", "backbone"), NETWORKS)
def test_channels_that_are_always_zero_are_found_and_change_nothing(architecture: str, backbone: str) -> None:
    segmenter = _network(architecture, backbone)
    whole = widths(segmenter)
    order = {space: torch.randperm(width) for space, width in whole.items()}
    alive = {space: order[space][: narrowed(width, 0.5)].sort().values for space, width in whole.items()}
    _silence(segmenter, {space: order[space][len(alive[space]) :] for space in whole})
    kept = strongest_channels(segmenter, 0.5)
    assert all(torch.equal(kept[space], alive[space]) for space in whole)

    image = torch.rand(2, 3, 64, 80, dtype=torch.float64)
    with torch.no_grad():
        before = segmenter(image)
        keep_channels(segmenter, kept)
        after = segmenter(image)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.auxiliary_logits, before.auxiliary_logits)
    torch.testing.assert_close(after.backbone_features, before.backbone_features[:, kept["layer4"]])
    torch.testing.assert_close(after.head_features, before.head_features[:, kept["head.fuse"]])
    assert segmenter.backbone_channels == after.backbone_features.shape[1]
    assert segmenter.head_channels == after.head_features.shape[1]


def test_a_channel_that_is_alive_does_change_something() -> None:
    segmenter = _network("pspnet", "resnet18_v1c")
    image = torch.rand(1, 3, 64, 80, dtype=torch.float64)
    for space, width in widths(segmenter).items():
        narrower = copy.deepcopy(segmenter)
        keep_channels(narrower, {space: torch.arange(width - 1)})
        with torch.no_grad():
            before, after = segmenter(image), narrower(image)
        changed = after.auxiliary_logits if space == "auxiliary_head" else after.logits
        assert not torch.allclose(changed, before.auxiliary_logits if space == "auxiliary_head" else before.logits)


@pytest.mark.parametrize(("architecture", "backbone"), NETWORKS)
def test_keeping_all_is_the_identity(architecture: str, backbone: str) -> None:
    segmenter = _network(architecture, backbone)
    before = copy.deepcopy(segmenter.state_dict())
    keep_channels(segmenter, strongest_channels(segmenter, 1.0))
    after = segmenter.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.5, 0.75, 0.99])
def test_widths_are_multiples_of_sixteen(keep: float) -> None:
    segmenter = _network("deeplabv3", "resnet18_v1c")
    whole = widths(segmenter)
    keep_channels(segmenter, strongest_channels(segmenter, keep))
    for space, width in widths(segmenter).items():
        assert width % MULTIPLE == 0
        assert keep * whole[space] <= width < keep * whole[space] + MULTIPLE


@pytest.mark.parametrize(("width", "keep", "expected"), [(24, 1.0, 24), (24, 0.9, 24), (24, 0.5, 16), (8, 0.5, 8)])
def test_no_width_grows(width: int, keep: float, expected: int) -> None:
    assert narrowed(width, keep) == expected


@pytest.mark.parametrize("architecture", ["pspnet", "deeplabv3"])
def test_half_the_channels_are_about_a_quarter_of_the_work(architecture: str) -> None:
    segmenter = build_segmenter(replace(TOY_DESIGN, architecture=architecture, backbone="resnet18", head_channels=128))
    whole, weights = multiply_accumulates(segmenter, 96, 128), deployed_parameters(segmenter)
    keep_channels(segmenter, strongest_channels(segmenter, 0.5))
    assert 0.25 < multiply_accumulates(segmenter, 96, 128) / whole < 0.3
    assert 0.24 < deployed_parameters(segmenter) / weights < 0.27


@pytest.mark.parametrize(("architecture", "backbone"), NETWORKS)
def test_a_pruned_network_learns_and_its_checkpoint_rebuilds_it(
    architecture: str, backbone: str, tmp_path: Path
) -> None:
    segmenter = _network(architecture, backbone).float()
    keep_channels(segmenter, strongest_channels(segmenter, 0.5))
    design = replace(
        TOY_DESIGN, architecture=architecture, backbone=backbone, head_channels=HEAD, auxiliary_channels=HEAD,
        output_stride=_stride(architecture), channels=widths(segmenter),
    )  # fmt: skip
    output = segmenter.train()(torch.rand(2, 3, 64, 80))
    (output.logits.square().mean() + output.auxiliary_logits.square().mean()).backward()
    still = [name for name, weight in segmenter.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not still
    save_checkpoint(segmenter.eval(), design, {}, tmp_path / "pruned.safetensors")
    again, its_design, _ = load_checkpoint(tmp_path / "pruned.safetensors")
    assert its_design == design
    assert widths(again) == design.channels
    image = torch.rand(1, 3, 64, 80)
    with torch.no_grad():
        assert torch.equal(again(image).logits, segmenter(image).logits)
        torch.testing.assert_close(fold_batchnorms(again)(image).logits, segmenter(image).logits, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_pruned_is_refused() -> None:
    bottlenecks = build_segmenter(replace(TOY_DESIGN, backbone="resnet50"))
    with raises(ModelError, "resnet18, resnet34,", "resnet18_v1c"):
        strongest_channels(bottlenecks, 0.5)
    with raises(ModelError, "layer9", "head.fuse"):
        build_segmenter(replace(TOY_DESIGN, channels={"layer9": 16}))
