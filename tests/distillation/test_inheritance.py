"""Beginning with the teacher's weights: which layers, and what it does to the student."""

from dataclasses import replace

import pytest
import torch

from models.build import build_segmenter
from models.segmenter import Segmenter
from pipeline.distillation.inheritance import inherit_layers
from pipeline.errors import TrainingError
from tests.raising import raises
from tests.toy import TOY_DESIGN


def _segmenter(backbone: str, seed: int) -> Segmenter:
    torch.manual_seed(seed)
    network = build_segmenter(replace(TOY_DESIGN, backbone=backbone))
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return network


def test_a_network_inherits_the_whole_backbone_of_its_like() -> None:
    student, teacher = _segmenter("resnet10t", 0), _segmenter("resnet10t", 1)
    share = inherit_layers(student, teacher)
    backbone = sum(parameter.numel() for parameter in student.backbone.parameters())
    assert share == backbone / sum(parameter.numel() for parameter in student.parameters())
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(student.eval().backbone(image)[1], teacher.eval().backbone(image)[1])


def test_a_shorter_network_inherits_the_blocks_that_it_has() -> None:
    student, teacher = _segmenter("resnet18_v1c", 0), _segmenter("resnet34", 1)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    assert 0.5 < inherit_layers(student, teacher) < 1
    ours, theirs = student.backbone.network, teacher.backbone.network
    for block in ("layer1.0", "layer2.0", "layer4.1"):
        expected = theirs.get_submodule(block).state_dict()
        assert all(torch.equal(t, expected[n]) for n, t in ours.get_submodule(block).state_dict().items())
    # The stems differ, so the BatchNorm behind them stays as well although its shape is the same.
    kept = [name for name in before if ".conv1." in name and ".layer" not in name] + [
        "backbone.network.bn1.running_mean"
    ]
    assert len(kept) > 1
    assert all(torch.equal(student.state_dict()[name], before[name]) for name in kept)


def test_no_block_is_inherited_without_a_part_of_it() -> None:
    """The convolutions of a SE-ResNet have names and shapes of a ResNet's; only the stem means the same in both."""
    student, teacher = _segmenter("resnet50", 0), _segmenter("seresnet50", 1)
    stem = [*student.backbone.network.conv1.parameters(), *student.backbone.network.bn1.parameters()]
    assert inherit_layers(student, teacher) * sum(p.numel() for p in student.parameters()) == pytest.approx(
        sum(p.numel() for p in stem)
    )


def test_the_head_stays_its_own() -> None:
    student, teacher = _segmenter("resnet10t", 0), _segmenter("resnet10t", 1)
    before = {name: tensor.clone() for name, tensor in student.head.state_dict().items()}
    inherit_layers(student, teacher)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.head.state_dict().items())


def test_basic_blocks_inherit_nothing_from_bottlenecks() -> None:
    with raises(TrainingError, "ResNet-50", "inherit_layers"):
        inherit_layers(_segmenter("resnet18_v1c", 0), _segmenter("resnet50", 1))
