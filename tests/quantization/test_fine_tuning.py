"""Rounding in training: against its definition, and against what ONNX Runtime makes of the same network."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from models.checkpoint import load_checkpoint
from models.export_wrappers import LabelsGraph
from pipeline.quantization.fine_tuning import round_input, round_weight, rounding
from tests.toy import toy_pair
from tests.toy_run import train_toy

IMAGES = [toy_pair(seed)[0][None] for seed in range(4)]


def test_inputs_are_rounded_to_256_levels_with_zero_among_them() -> None:
    x = torch.linspace(-1, 3, 5001)
    rounded = round_input(x, torch.tensor(-0.5), torch.tensor(2.0))
    step = 2.5 / 255
    assert len(rounded.unique()) == 256
    assert rounded[(x > -0.49) & (x < 1.99)] == pytest.approx(x[(x > -0.49) & (x < 1.99)], abs=step / 2 + 1e-6)
    assert 0.0 in rounded.unique()
    assert rounded.min() == pytest.approx(-0.5, abs=step)
    assert rounded.max() == pytest.approx(2.0, abs=step)


def test_weights_are_rounded_by_output_channel() -> None:
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([1e-4, 0.1, 1.0, 50.0]).view(4, 1, 1, 1)
    for channel, rounded in zip(weight, round_weight(weight), strict=True):
        step = channel.abs().max().double() / 127
        steps = rounded.double() / step
        assert (steps - steps.round()).abs().max() < 1e-3
        assert (steps - (channel.double() / step)).abs().max() <= 0.5 + 1e-3


def test_a_channel_of_zeros_stays_zeros() -> None:
    assert torch.equal(round_weight(torch.zeros(2, 3, 1, 1)), torch.zeros(2, 3, 1, 1))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory):
    return train_toy("pspnet", tmp_path_factory.mktemp("fine_tuning"), 15)


def test_gradients_pass_the_rounding(checkpoint) -> None:
    segmenter, _, _ = load_checkpoint(checkpoint)
    with rounding(segmenter, IMAGES):
        segmenter(torch.rand(1, 3, 48, 64)).logits.square().sum().backward()
        conv = next(part for part in segmenter.backbone.modules() if isinstance(part, nn.Conv2d))
        assert not torch.equal(conv.weight, conv.parametrizations.weight.original)  # type: ignore[union-attr]
    assert conv.weight.grad is not None
    assert conv.weight.grad.abs().max() > 0


def test_every_convolution_rounds_and_then_none(checkpoint) -> None:
    segmenter, _, _ = load_checkpoint(checkpoint)
    image = torch.from_numpy(IMAGES[0])
    with torch.no_grad():
        before = LabelsGraph(segmenter)(image)
        with rounding(segmenter, IMAGES):
            convolutions = [part for part in segmenter.modules() if isinstance(part, nn.Conv2d)]
            assert convolutions
            assert all(parametrize.is_parametrized(part, "weight") for part in convolutions)
            assert all(part.get_buffer("high") > part.get_buffer("low") for part in convolutions)
            scores = segmenter.eval()(image.permute(0, 3, 1, 2).float() / 255).logits
            labels = nn.functional.interpolate(scores, size=image.shape[1:3], mode="bilinear").argmax(1)
            assert 0.9 < (labels == before).float().mean() <= 1
        assert not any(parametrize.is_parametrized(part) for part in segmenter.modules())
        assert not any(name.endswith((".low", ".high")) for name in segmenter.state_dict())
        assert (LabelsGraph(segmenter)(image) == before).float().mean() > 0.999


def test_rounding_is_felt(checkpoint) -> None:
    segmenter, _, _ = load_checkpoint(checkpoint)
    image = torch.from_numpy(IMAGES[0]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        before = segmenter(image).logits
        with rounding(segmenter, IMAGES):
            after = segmenter(image).logits
    error = (after - before).square().mean().sqrt() / before.square().mean().sqrt()
    assert 1e-4 < error < 0.3
    assert np.isfinite(float(error))
