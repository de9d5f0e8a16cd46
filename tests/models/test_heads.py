"""Heads and backbone against mmseg's arrays, against adaptive pooling, and against the published sizes."""

import pytest
import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

from models.backbone import RESNET18_V1C, Backbone, undilate_second_convs
from models.build import Design, build_segmenter
from models.deeplabv3 import AtrousPyramidHead
from models.errors import ModelError
from models.heads import AuxiliaryHead
from models.pspnet import BINS, PyramidPoolingHead, pool_to_bins
from models.segmenter import Segmenter
from tests.vectors.reading import Vector, weights_under


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


def _sizes(vector: Vector) -> tuple[int, int, int]:
    return vector.hyper["in_channels"], vector.hyper["channels"], vector.hyper["num_classes"]


@pytest.mark.vectors("arch_psp")
def test_pyramid_pooling_head_equals_mmseg(vector: Vector) -> None:
    arrays = vector.arrays()
    parts = {f"psp_modules.{i}.1": f"branches.{i}" for i in range(4)} | {"bottleneck": "fuse"}
    head = _filled(PyramidPoolingHead(*_sizes(vector)), weights_under(arrays, "w."), parts)
    torch.testing.assert_close(head(arrays["x"])[1], arrays["y"], rtol=1e-9, atol=1e-12)


@pytest.mark.vectors("arch_aspp")
def test_atrous_pyramid_head_equals_mmseg(vector: Vector) -> None:
    arrays = vector.arrays()
    parts = {f"aspp_modules.{i}": f"branches.{i}" for i in range(4)}
    parts |= {"image_pool.1": "image_pool", "bottleneck": "fuse"}
    head = _filled(AtrousPyramidHead(*_sizes(vector)), weights_under(arrays, "w."), parts)
    torch.testing.assert_close(head(arrays["x"])[1], arrays["y"], rtol=1e-9, atol=1e-12)


@pytest.mark.vectors("arch_fcn")
def test_auxiliary_head_equals_mmseg(vector: Vector) -> None:
    arrays = vector.arrays()
    head = _filled(AuxiliaryHead(*_sizes(vector)), weights_under(arrays, "w."), {"convs.0": "conv"})
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


def test_the_students_backbone_is_that_geometry() -> None:
    blocks = [m for m in Backbone(RESNET18_V1C, 8).modules() if isinstance(m, BasicBlock)]
    assert [block.conv1.dilation[0] for block in blocks] == [1, 1, 1, 1, 1, 2, 2, 4]
    assert {block.conv2.dilation for block in blocks} == {(1, 1)}
    assert sum(p.numel() for p in Backbone(RESNET18_V1C, 8).parameters()) == 11_195_744


@pytest.mark.parametrize("size", [(13, 17), (6, 6), (45, 60), (7, 12)])
@pytest.mark.parametrize("bins", BINS)
def test_pooling_by_matrices_is_adaptive_pooling(size: tuple[int, int], bins: int) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(pool_to_bins(features, bins), F.adaptive_avg_pool2d(features, bins))


def _segmenter(architecture: str, backbone: str, head: int, auxiliary: int, classes: int = 19) -> Segmenter:
    names = tuple(map(str, range(classes)))
    return build_segmenter(
        Design(architecture=architecture, backbone=backbone, input_scale=1.0, output_stride=8, head_channels=head,
               auxiliary_channels=auxiliary, channels={}, class_names=names)
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


@pytest.mark.parametrize("architecture", ["pspnet", "deeplabv3"])
def test_the_record_holds_what_its_names_say(architecture: str) -> None:
    segmenter = _segmenter(architecture, RESNET18_V1C, 32, 16, classes=5)
    output = segmenter.train()(torch.rand(2, 3, 64, 96))
    assert output.logits.shape == (2, 5, 8, 12)
    assert output.auxiliary_logits is not None
    assert output.auxiliary_logits.shape == (2, 5, 8, 12)
    assert output.head_features.shape == (2, 32, 8, 12)
    assert output.backbone_features.shape == (2, segmenter.backbone_channels, 8, 12)


def test_an_unknown_backbone_is_named_with_others_to_choose() -> None:
    with pytest.raises(ModelError, match="no backbone 'resnet18x'"):
        Backbone("resnet18x", 8)
