"""Rounding in training: against its definition, and against what ONNX Runtime makes of the same network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.checkpoint import load_checkpoint
from models.export_wrappers import LabelsGraph
from models.segmenter import Segmenter
from pipeline.code_digest import ROOT
from pipeline.distillation import METHODS
from pipeline.distillation.method import CellLabels, Method, Output, Preparation, run_methods
from pipeline.params.deployment import FineTuningParams, QuantizationParams
from pipeline.params.tree import load_params
from pipeline.quantization import fine_tuning
from pipeline.quantization.fine_tuning import fine_tune, round_input, round_weight, rounding
from pipeline.quantization.inputs import Inputs
from pipeline.training.loop import STATE
from pipeline.training.objective import Loss, Objective, Task
from pipeline.training.resume import has_ended
from tests.toy import TOY_CLASSES, toy_pair, toy_training, write_toy_samples
from tests.toy_run import EXPORT, PARITY, train_toy

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


class Towards(Objective):
    """Brings a number to 1."""

    def __init__(self, number: nn.Linear):
        super().__init__()
        self.number = number.requires_grad_(True)

    def compare(self, image: Tensor, labels: Tensor) -> Loss:
        return Loss((self.number.weight.sum() - 1).square(), None, {}, {})


class LearnsFirst(Method):
    """Weighs the distance of the logits by what it learned before."""

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.number = nn.Linear(1, 1, bias=False).requires_grad_(False)

    def preparation(self, teacher: Segmenter, task: Task) -> Preparation:
        return Preparation(Towards(self.number), iterations_share=0.5, learning_rate=0.1)

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Tensor:
        return self.number.weight.sum() * (student.logits - teacher.logits).square().mean()


def _tune(folder: Path, checkpoint: Path, method: str) -> Path:
    """Train a toy on by this method for four iterations; return the folder of its state."""
    tuning = FineTuningParams(iterations=4, learning_rate=1e-3)
    inputs = Inputs(
        name="toy", run=replace(load_params(ROOT / "params.yaml").runs["pspnet_r18"], distill={method: 1.0}),
        methods=run_methods([method], {}), training=toy_training(), code="", parity=PARITY, export=EXPORT,
        quantization=QuantizationParams(fine_tuning=tuning), split="test", classes=folder / "classes.json",
        samples=write_toy_samples(folder), statistics=folder / "statistics.json", teacher=checkpoint,
        checkpoint=checkpoint, graph=folder / "none", predictions=folder / "none", scratch=folder / "scratch",
    )  # fmt: skip
    return fine_tune(inputs, TOY_CLASSES, IMAGES, folder / "model.onnx")


def test_what_a_method_learns_first_is_learned_here_too(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "first", f"{__name__}:LearnsFirst")
    monkeypatch.setattr(fine_tuning, "export_graph", lambda *_: None)
    folder = _tune(tmp_path, checkpoint, "first")
    assert has_ended(folder / "first" / STATE, 2)
    learned = load_file(folder / "first" / STATE)["module.number.weight"]
    assert torch.equal(load_file(folder / STATE)["module.methods.first.number.weight"], learned)


def test_a_method_on_auxiliary_heads_has_them(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "export_graph", lambda *_: None)
    assert has_ended(_tune(tmp_path, checkpoint, "dist") / STATE, 4)


def test_an_auxiliary_head_is_kept_only_meanwhile_and_not_rounded(checkpoint: Path) -> None:
    segmenter, _, _ = load_checkpoint(checkpoint)
    with rounding(segmenter, IMAGES, auxiliary=True):
        assert segmenter.auxiliary_head is not None
        assert not any(parametrize.is_parametrized(part) for part in segmenter.auxiliary_head.modules())
    assert segmenter.auxiliary_head is None
