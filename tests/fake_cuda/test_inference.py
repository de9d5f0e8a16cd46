"""Evaluation, export and inspection on a GPU that is not there."""

from dataclasses import replace

import pytest
import torch

from models.build import build_segmenter
from models.export_wrappers import LabelsGraph, LogitsGraph
from models.resize import bilinear
from pipeline.data.dataset import network_input
from pipeline.inspection.teacher import pixel_maps, relative_entropy
from pipeline.plan.fake_gpu import fake_gpu
from tests.toy import TOY_CLASSES, TOY_DESIGN, toy_segmenter


@pytest.mark.parametrize("architecture", ["pspnet", "deeplabv3", "ladder", "segformer"])
def test_the_exported_graphs_run_without_a_wait(architecture: str) -> None:
    stride = 32 if architecture == "ladder" else TOY_DESIGN.output_stride
    segmenter = build_segmenter(replace(TOY_DESIGN, architecture=architecture, output_stride=stride))
    graphs = LabelsGraph(segmenter), LogitsGraph(segmenter)
    with fake_gpu() as watch, torch.inference_mode():
        images = torch.zeros(2, 48, 64, 3, dtype=torch.uint8, device="cuda")
        labels, logits = (graph.to("cuda")(images) for graph in graphs)
    assert (labels.shape, labels.dtype, labels.device.type) == ((2, 48, 64), torch.uint8, "cuda")
    assert (logits.shape, logits.dtype) == ((2, len(TOY_CLASSES.names), 48, 64), torch.float32)
    assert not watch.waits


def test_inspection_runs_on_the_gpu() -> None:
    segmenter = toy_segmenter()[0].eval()
    segmenter.auxiliary_head = None
    with fake_gpu() as watch, torch.inference_mode():
        segmenter.to("cuda", memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
        output = segmenter(network_input(torch.zeros(2, 3, 48, 64, dtype=torch.uint8, device="cuda")))
        logits = bilinear(output.logits[:1].float(), 48, 64)[0]
        labels = torch.zeros(48, 64, dtype=torch.uint8, device="cuda")
        source = torch.zeros(48, 64, dtype=torch.int64, device="cuda")
        maps = (*pixel_maps(logits, labels, source), relative_entropy(logits))
    assert {(values.shape, values.device.type) for values in maps} == {((48, 64), "cuda")}
    assert not watch.waits
