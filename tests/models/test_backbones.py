"""Backbones: what they say of their maps is what they return; names that cannot work are refused in plain words."""

import pytest
import torch

from models.backbone import build_backbone
from models.errors import ModelError


@pytest.mark.parametrize(
    ("name", "stride"),
    [("resnet18_v1c", 8), ("resnet10t", 16), ("mobilenetv3_small_050", 32), ("regnetx_002", 32), ("pvt_v2_b0", 32)],
)
def test_the_maps_are_what_they_are_said_to_be(name: str, stride: int) -> None:
    backbone = build_backbone(name, stride).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 64, 96))
    found = [(features.shape[1], 64 // features.shape[2], 96 // features.shape[3]) for features in maps]
    assert found == [(said.channels, said.stride, said.stride) for said in backbone.maps]
    assert len(maps) == 4
    assert backbone.maps[-1].stride == stride


@pytest.mark.parametrize(
    ("name", "stride", "message"),
    [
        ("resnet18x", 8, "timm knows no backbone 'resnet18x'"),
        ("swin_tiny_patch4_window7_224", 32, "cannot work on images of any size|returns maps"),
        ("pvt_v2_b0", 16, "at output stride 16"),
        ("mixer_s32_224", 32, "cannot work on images of any size"),
        ("densenet121", 8, "at output stride 8"),
        ("test_vit", 32, "has output stride 16, not 32; set output_stride: 16"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name: str, stride: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_backbone(name, stride)
