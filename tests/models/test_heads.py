"""Heads and backbone against mmseg's arrays, against adaptive pooling, and against the published sizes."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

from models import BACKBONES, HEADS
from models.backbone import FeatureMap, build_backbone
from models.build import Design, build_segmenter
from models.deeplabv3 import ASPPHead
from models.errors import ModelError
from models.heads import AuxiliaryHead
from models.pspnet import BINS, PSPHead
from models.resize import pool_to_bins
from models.resnet import undilate_second_convs
from models.segmenter import Segmenter
from tests.raising import raises
from tests.toy import TOY_DESIGN
from tests.vectors.reading import Vector, weights_under

RESNET18_V1C = "resnet18_v1c"


def _conv_bn(weights: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    names = {
        "conv.weight": "0.weight",
        **{f"bn.{n}": f"1.{n}" for n in ("weight", "bias", "running_mean", "running_var")},
    }
    return {f"{ours}.{mine}": weights[f"{theirs}.{name}"] for name, mine in names.items()}


def _filled(head: nn.Module, weights: dict[str, Tensor], parts: dict[str, str]) -> nn.Module:
    """A head in float64 with mmseg's weights; `parts` maps mmseg's conv modules to ours."""
    state = {f"classifier.conv.{n}": weights[f"conv_seg.{n}"] for n in ("weight", "bias")}
    for theirs, ours in parts.items():
        state |= _conv_bn(weights, theirs, ours)
    missing, unexpected = head.double().load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return head.eval()


def _sizes(vector: Vector) -> tuple[list[FeatureMap], int, int]:
    return [FeatureMap(vector.hyper["in_channels"], 8)], vector.hyper["channels"], vector.hyper["num_classes"]


@pytest.mark.vectors("arch_psp")
def test_pyramid_pooling_head_equals_mmseg(vector: Vector) -> None:
    arrays = vector.arrays()
    parts = {f"psp_modules.{i}.1": f"branches.{i}" for i in range(4)} | {"bottleneck": "fuse"}
    head = _filled(PSPHead(*_sizes(vector)), weights_under(arrays, "w."), parts)
    torch.testing.assert_close(head([arrays["x"]])[1], arrays["y"], rtol=1e-9, atol=1e-12)


@pytest.mark.vectors("arch_aspp")
def test_atrous_pyramid_head_equals_mmseg(vector: Vector) -> None:
    arrays = vector.arrays()
    parts = {f"aspp_modules.{i}": f"branches.{i}" for i in range(4)}
    parts |= {"image_pool.1": "image_pool", "bottleneck": "fuse"}
    head = _filled(ASPPHead(*_sizes(vector), **vars(ASPPHead.Params())), weights_under(arrays, "w."), parts)
    torch.testing.assert_close(head([arrays["x"]])[1], arrays["y"], rtol=1e-9, atol=1e-12)


@pytest.mark.vectors("arch_fcn")
def test_auxiliary_head_equals_mmseg(vector: Vector) -> None:
    arrays = vector.arrays()
    (last,), channels, classes = _sizes(vector)
    head = _filled(AuxiliaryHead(last.channels, channels, classes), weights_under(arrays, "w."), {"convs.0": "conv"})
    torch.testing.assert_close(head(arrays["x"]), arrays["y"], rtol=1e-9, atol=1e-12)


@pytest.mark.vectors("arch_resnet18v1c")
def test_backbone_geometry_equals_mmseg(vector: Vector) -> None:
    """The same treatment as resnet18_v1c gets, on a network of an eighth of its width."""
    arrays, width = vector.arrays(), vector.hyper["base_channels"]
    network = ResNet(
        BasicBlock, (2, 2, 2, 2), channels=(width, 2 * width, 4 * width, 8 * width), num_classes=0, output_stride=8,
        stem_type="deep", stem_width=width // 2,
    )  # fmt: skip
    undilate_second_convs(network).double().eval()
    stem = {
        "stem.0": "conv1.0",
        "stem.1": "conv1.1",
        "stem.3": "conv1.3",
        "stem.4": "conv1.4",
        "stem.6": "conv1.6",
        "stem.7": "bn1",
    }
    state = {}
    for name, weight in weights_under(arrays, "w.").items():
        module, _, leaf = name.rpartition(".")
        state[f"{stem.get(module, module)}.{leaf}"] = weight
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    features = network.forward_intermediates(arrays["x"], indices=[1, 2, 3, 4], intermediates_only=True)
    for stage, found in enumerate(features, 1):
        torch.testing.assert_close(found, arrays[f"stage{stage}"], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("name", "published"), [(RESNET18_V1C, 11_195_744), ("resnet18_v1b", 11_176_512)])
def test_a_students_backbone_is_that_geometry(name: str, published: int) -> None:
    backbone = build_backbone(name, 8)
    blocks = [m for m in backbone.modules() if isinstance(m, BasicBlock)]
    assert [block.conv1.dilation[0] for block in blocks] == [1, 1, 1, 1, 1, 2, 2, 4]
    assert {block.conv2.dilation for block in blocks} == {(1, 1)}
    assert sum(p.numel() for p in backbone.parameters()) == published


def test_weights_of_a_plain_resnet18_fit_the_undilated_one() -> None:
    names = [list(build_backbone(name, 8).network.state_dict()) for name in ("resnet18", "resnet18_v1b")]
    assert names[0] == names[1]


@pytest.mark.parametrize("size", [(13, 17), (6, 6), (45, 60), (7, 12)])
@pytest.mark.parametrize("bins", BINS)
def test_pooling_by_matrices_is_adaptive_pooling(size: tuple[int, int], bins: int) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(pool_to_bins(features, bins), F.adaptive_avg_pool2d(features, bins))


def _segmenter(
    architecture: str, backbone: str, head: int, auxiliary: int, classes: int = 19, output_stride: Literal[8, 32] = 8
) -> Segmenter:
    names = tuple(map(str, range(classes)))
    return build_segmenter(
        Design(architecture=architecture, backbone=backbone, input_scale=1.0, output_stride=output_stride,
               head_channels=head, auxiliary_channels=auxiliary, class_names=names)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "backbone", "head", "auxiliary", "published"),
    [
        ("pspnet", RESNET18_V1C, 128, 64, 12_790_086),
        ("deeplabv3", RESNET18_V1C, 128, 64, 13_986_374),
        ("pspnet", "resnet50c", 512, 256, 48_975_494),
        ("deeplabv3", "resnet50c", 512, 256, 68_113_030),
    ],
)
def test_parameter_counts_are_the_published_ones(
    architecture: str, backbone: str, head: int, auxiliary: int, published: int
) -> None:
    assert sum(p.numel() for p in _segmenter(architecture, backbone, head, auxiliary).parameters()) == published


@pytest.mark.parametrize("architecture", HEADS)
def test_the_record_holds_what_its_names_say(architecture: str) -> None:
    segmenter = _segmenter(architecture, RESNET18_V1C, 32, 16, classes=5, output_stride=32)
    output = segmenter.train()(torch.rand(2, 3, 64, 96))
    cells = output.logits.shape[2:]
    assert output.logits.shape == (2, 5, *cells)
    assert tuple(cells) in {(2, 3), (16, 24)}
    assert output.auxiliary_logits is not None
    assert output.auxiliary_logits.shape == (2, 5, 4, 6)
    assert output.head_features.shape == (2, 32, *cells)
    assert output.backbone_features.shape == (2, segmenter.backbone_channels, 2, 3)
    (output.logits.square().mean() + output.auxiliary_logits.square().mean()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in segmenter.parameters())


def test_an_unknown_backbone_is_named_with_others_to_choose() -> None:
    with raises(ModelError, "'resnet18x'", "resnet18, resnet18d,"):
        build_backbone("resnet18x", 8)


@pytest.mark.parametrize("name", [*HEADS, *BACKBONES])
def test_every_head_and_backbone_is_explained_to_who_chooses(name: str) -> None:
    assert f"\n| `{name}` | " in Path("docs/reference/networks.md").read_text()


def test_a_head_has_parameters_of_its_own() -> None:
    design = replace(TOY_DESIGN, architecture="deeplabv3", head={"dilations": [6, 12]})
    head = build_segmenter(design).head
    assert [branch[0].dilation[0] for branch in head.branches] == [1, 6, 12]
    for wrong, key in (({"dilatons": [6]}, "dilatons"), ({"dilations": "six"}, "dilations")):
        with raises(ModelError, "deeplabv3", key):
            build_segmenter(replace(design, head=wrong))
    with raises(ModelError, "'unet'", *HEADS):
        build_segmenter(replace(design, architecture="unet"))
