"""The ladder decoder against its formula; what it costs; what it cannot stand on."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone import FeatureMap
from models.build import build_segmenter
from models.errors import ModelError
from models.ladder import LadderHead
from pipeline.measure.cost import multiply_accumulates
from tests.raising import raises
from tests.toy import TOY_DESIGN

MAPS = [FeatureMap(6, 4), FeatureMap(10, 8), FeatureMap(12, 16), FeatureMap(20, 32)]


def _block(part: nn.Module, x: Tensor) -> Tensor:
    conv, norm, _ = part.children()
    x = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
    return F.relu(F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias))


def test_it_is_the_papers_ladder() -> None:
    torch.manual_seed(0)
    head = LadderHead(MAPS, 16, 5).double()
    maps = [torch.randn(2, channels, 160 // stride, 224 // stride).double() for channels, stride in MAPS]
    head.train()(maps)  # statistics of its own
    features, logits = head.eval()(maps)

    def resized(x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)

    last = _block(head.reduce, maps[3])
    levels = zip((1, 2, 4, 8), head.branches, strict=True)
    pooled = [resized(_block(branch, F.adaptive_avg_pool2d(last, bins)), last) for bins, branch in levels]
    x = _block(head.pyramid, torch.cat([last, *pooled], dim=1))
    for fine in (2, 1, 0):
        x = _block(head.blends[fine], resized(x, maps[fine]) + _block(head.laterals[fine], maps[fine]))
    torch.testing.assert_close(features, x)
    torch.testing.assert_close(logits, F.conv2d(x, head.classifier.conv.weight, head.classifier.conv.bias))


def test_it_has_the_details_for_fewer_operations() -> None:
    student = replace(TOY_DESIGN, backbone="resnet18", head_channels=128)
    ladder = build_segmenter(replace(student, architecture="ladder", output_stride=32))
    ratio = multiply_accumulates(ladder, 360, 480) / multiply_accumulates(build_segmenter(student), 360, 480)
    assert ratio == pytest.approx(0.77, abs=0.02)


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "regnetx_002", "convnext_atto"])
def test_any_cnn_may_stand_under_it(backbone: str) -> None:
    network = build_segmenter(replace(TOY_DESIGN, architecture="ladder", backbone=backbone, output_stride=32)).eval()
    assert network(torch.rand(1, 3, 64, 96)).logits.shape[2:] == (16, 24)


def test_maps_that_do_not_double_are_refused() -> None:
    with raises(ModelError, "head ladder", "16, 16]", "output_stride: 32"):
        build_segmenter(replace(TOY_DESIGN, architecture="ladder", output_stride=16))
