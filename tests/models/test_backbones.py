"""Backbones: what they say of their maps is what they return; names that cannot work are refused in plain words."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from models.backbone import build_backbone, save_backbone
from models.errors import ModelError
from models.timm_backbone import load_backbone_weights
from tests.raising import raises


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
    ("name", "stride", "named"),
    [
        ("resnet18x", 8, ("backbone 'resnet18x'", "seresnet18,")),
        ("swin_tiny_patch4_window7_224", 32, ("backbone 'swin_tiny_patch4_window7_224'", "MobileNet")),
        ("pvt_v2_b0", 16, ("'pvt_v2_b0'", "stride 32", "output_stride: 32")),
        ("mixer_s32_224", 32, ("backbone 'mixer_s32_224'", "MobileNet")),
        ("densenet121", 8, ("'densenet121'", "stride 32", "output_stride: 32")),
        ("levit_128s", 32, ("'levit_128s'", "four feature", "MobileNet")),
        ("test_vit", 32, ("'test_vit'", "stride 16", "output_stride: 16")),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name: str, stride: int, named: tuple[str, ...]) -> None:
    with raises(ModelError, *named) as caught:
        build_backbone(name, stride)
    assert "[(" not in str(caught.value)  # the shapes of maps, which is another error


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "mobilenetv3_small_050"])
def test_a_whole_network_of_timm_fills_its_backbone(name: str, tmp_path: Path) -> None:
    """With its own last norm and a classifier of another number of classes; so does what `save_backbone` writes."""
    torch.manual_seed(0)
    save_file(timm.create_model(name, num_classes=7).state_dict(), tmp_path / "whole.safetensors")
    first, second = build_backbone(name, 32).eval(), build_backbone(name, 32).eval()
    load_backbone_weights(first, tmp_path / "whole.safetensors")
    save_backbone(first, {}, tmp_path / "backbone.safetensors")
    load_backbone_weights(second, tmp_path / "backbone.safetensors")
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(first(image), second(image), strict=True))
        last = timm.create_model(name, num_classes=7).eval()
        last.load_state_dict(load_file(tmp_path / "whole.safetensors"))
        torch.testing.assert_close(first(image)[-1].mean(), last.forward_features(image).mean())


@pytest.mark.parametrize(
    ("name", "other", "named"),
    [
        ("resnet18", "resnet34", ("96 tensors", "layer1.2.bn1.bias")),
        ("resnet34", "resnet18", ("80 tensors", "missing", "layer1.2.bn1.bias")),
        ("resnet50", "seresnet50", ("64 tensors", "layer1.0.se.fc1.bias")),
        ("resnet10t", "resnet14t", ("19 tensors", "layer1.0.conv1.weight", "30 tensors", "layer1.0.bn3.bias")),
    ],
)
def test_weights_of_another_network_are_refused(name: str, other: str, named: tuple[str, ...], tmp_path: Path) -> None:
    save_file(timm.create_model(other).state_dict(), tmp_path / "other.safetensors")
    with raises(ModelError, tmp_path / "other.safetensors", *named):
        load_backbone_weights(build_backbone(name, 32), tmp_path / "other.safetensors")


def test_a_pickle_is_not_read_as_weights(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with raises(ModelError, tmp_path / "weights.pth", "safetensors", "docs/reference/networks.md", "sha256"):
        load_backbone_weights(build_backbone("resnet10t", 32), tmp_path / "weights.pth")
