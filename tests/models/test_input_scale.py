"""A network that works on a smaller image: the same answer at the same size, for less work; and other strides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models import HEADS
from models.build import build_segmenter
from models.export_wrappers import LabelsGraph
from models.segmenter import resized
from pipeline.deploy.export import largest_logit_difference
from pipeline.deploy.onnx_export import export_graph, write_logits
from pipeline.measure.cost import multiply_accumulates
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.runner import InputShape
from tests.toy import TOY_DESIGN, toy_pair

OPSET = 20


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.66, 1.0])
def test_resizing_is_bilinear_without_a_filter(scale: float) -> None:
    image = torch.rand(1, 3, 45, 60, dtype=torch.float64)
    expected = F.interpolate(image, (round(45 * scale), round(60 * scale)), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resized(image, scale), expected)


def test_no_side_becomes_nothing() -> None:
    assert resized(torch.rand(1, 3, 1, 1), 0.25).shape == (1, 3, 1, 1)


def test_it_sees_what_a_network_of_full_scale_sees_in_the_smaller_image() -> None:
    half = build_segmenter(replace(TOY_DESIGN, input_scale=0.5)).eval()
    whole = build_segmenter(TOY_DESIGN).eval()
    whole.load_state_dict(half.state_dict())
    image = torch.rand(1, 3, 64, 96)
    smaller = F.interpolate(image, (32, 48), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(half(image).logits, whole(smaller).logits, atol=1e-5, rtol=1e-5)


def test_half_the_scale_is_a_quarter_of_the_work() -> None:
    costs = [
        multiply_accumulates(build_segmenter(replace(TOY_DESIGN, input_scale=scale)), 128, 192) for scale in (0.5, 1.0)
    ]
    assert 0.2 < costs[0] / costs[1] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "scale", "stride"),
    [
        ("pspnet", 0.5, 16),
        ("deeplabv3", 0.66, 8),
        *((name, scale, 32) for name in HEADS for scale in (1.0, 0.5)),
    ],
)
def test_the_exported_graph_answers_at_image_size(architecture: str, scale: float, stride: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    design = replace(TOY_DESIGN, architecture=architecture, input_scale=scale, output_stride=stride)
    segmenter = build_segmenter(design).eval()
    shape = InputShape(1, 48, 64)
    logits, labels = tmp_path / "logits.onnx", tmp_path / "model.onnx"
    export_graph(LabelsGraph(segmenter), design, shape, OPSET, labels)
    write_logits(labels, logits)
    images = [toy_pair(seed)[0][None] for seed in range(3)]
    assert largest_logit_difference(segmenter, logits, images) < 1e-4
    with open_artifact(labels, 1) as runner, torch.inference_mode():
        for image in images:
            expected = LabelsGraph(segmenter)(torch.from_numpy(image)).numpy()
            assert expected.shape == (1, 48, 64)
            assert np.mean(runner.run(image) == expected) > 0.999


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_output_stride_is_of_the_resized_image(stride: int) -> None:
    segmenter = build_segmenter(replace(TOY_DESIGN, input_scale=0.5, output_stride=stride)).eval()
    with torch.no_grad():
        output = segmenter(torch.rand(1, 3, 128, 192))
    assert output.logits.shape[-2:] == (64 // stride, 96 // stride)


def test_gradients_reach_every_weight() -> None:
    segmenter = build_segmenter(replace(TOY_DESIGN, input_scale=0.5)).train()
    output = segmenter(torch.rand(2, 3, 64, 96))
    (output.logits.square().mean() + output.auxiliary_logits.square().mean()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in segmenter.parameters())
