"""A folded network is the network."""

import pytest
import torch
from torch import nn

from models import HEADS
from models.build import Design, build_segmenter
from models.folding import fold_batchnorms
from tests.toy import toy_segmenter


@pytest.mark.parametrize("architecture", HEADS)
@pytest.mark.parametrize(
    "backbone", ["resnet18_v1c", pytest.param("resnet50", marks=pytest.mark.slow), "mobilenetv3_small_050"]
)
@pytest.mark.parametrize("deterministic", [False, True])
def test_folding_changes_nothing_but_the_norms(architecture: str, backbone: str, deterministic: bool) -> None:
    torch.use_deterministic_algorithms(deterministic)
    design = Design(
        architecture=architecture, backbone=backbone, input_scale=1.0, output_stride=32,
        head_channels=16, auxiliary_channels=8, channels={},
        class_names=("a", "b", "c"),
    )  # fmt: skip
    torch.manual_seed(0)
    network = build_segmenter(design).double()
    image = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    network.train()(image)  # statistics of its own, so that a lost shift is seen
    expected = network.eval()(image)
    weights = network.classifier.weight.clone()
    folded = fold_batchnorms(network)(image)
    torch.use_deterministic_algorithms(False)
    for before, after in zip(expected, folded, strict=True):
        torch.testing.assert_close(after, before)
    if backbone.startswith("resnet"):  # others have norms with an activation inside, which stay
        assert _count(network) == _count(network.auxiliary_head)
    assert torch.equal(network.classifier.weight, weights)
    on_meta = network.to("meta")(image.to("meta"))  # no tensor was left behind on the CPU
    assert on_meta.logits.shape == expected.logits.shape


class Untraceable(nn.Module):
    """Its forward depends on what it sees."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) if x.sum() > 0 else x


def test_what_cannot_be_traced_stays() -> None:
    design = Design(
        architecture="pspnet", backbone="resnet18", input_scale=1.0, output_stride=16,
        head_channels=16, auxiliary_channels=8, channels={},
        class_names=("a", "b"),
    )  # fmt: skip
    network = build_segmenter(design)
    head = network.head = Untraceable()
    assert fold_batchnorms(network).head is head


def _count(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_folded_head_builds_its_pooling_weights_once() -> None:
    segmenter = fold_batchnorms(toy_segmenter()[0])
    calls = [node.target.__name__ for node in segmenter.head.graph.nodes if node.op == "call_function"]  # type: ignore[reportAttributeAccessIssue]
    assert "arange" not in calls
    assert calls.count("weights_for") == 8  # rows and columns of four grids
