"""Backbones: what they say of their maps is what they return; names that cannot work are refused in plain words."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from models.backbone import build_backbone, save_backbone
from models.errors import ModelError
from models.timm_backbone import load_backbone_weights


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
        ("swin_tiny_patch4_window7_224", 32, "cannot work on images of any size"),
        ("pvt_v2_b0", 16, "has output stride 32, not 16; set output_stride: 32"),
        ("mixer_s32_224", 32, "cannot work on images of any size"),
        ("densenet121", 8, "has output stride 32, not 8; set output_stride: 32"),
        ("levit_128s", 32, "gives no four feature maps, so it is no backbone; take a ResNet"),
        ("test_vit", 32, "has output stride 16, not 32; set output_stride: 16"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name: str, stride: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_backbone(name, stride)


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
    ("name", "other", "message"),
    [
        ("resnet18", "resnet34", r"96 tensors that it does not have \(layer1\.2\.bn1\.bias"),
        ("resnet34", "resnet18", "tensors missing"),
        ("resnet50", "seresnet50", "that it does not have"),
        ("resnet10t", "resnet14t", "of another shape"),
    ],
)
def test_weights_of_another_network_are_refused(name: str, other: str, message: str, tmp_path: Path) -> None:
    save_file(timm.create_model(other).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=message):
        load_backbone_weights(build_backbone(name, 32), tmp_path / "other.safetensors")


def test_a_pickle_is_not_read_as_weights(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"only safetensors files are .*docs/networks\.md"):
        load_backbone_weights(build_backbone("resnet10t", 32), tmp_path / "weights.pth")
