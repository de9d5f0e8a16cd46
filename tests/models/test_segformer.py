"""SegFormer's head against its formula, cell by cell, and on every kind of backbone that a teacher may have."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from models.backbone import FeatureMap
from models.build import build_segmenter
from models.export_wrappers import LabelsGraph
from models.segformer import AllMLPHead
from pipeline.deploy.export import largest_logit_difference
from pipeline.deploy.onnx_export import export_graph, write_logits
from segdistill_runtime.runner import InputShape
from tests.toy import TOY_DESIGN, toy_pair

MAPS = [FeatureMap(6, 4), FeatureMap(10, 8), FeatureMap(12, 16), FeatureMap(20, 32)]


def test_it_is_the_papers_head() -> None:
    """Linear layers on lists of cells (n, h*w, c), as in the paper and in its authors' code."""
    torch.manual_seed(0)
    head = AllMLPHead(MAPS, 16, 5).double()
    maps = [torch.randn(2, channels, 160 // stride, 224 // stride).double() for channels, stride in MAPS]
    head.train()(maps)  # statistics of its own
    features, logits = head.eval()(maps)

    levels = []
    for layer, x in zip(head.linear, maps, strict=True):
        cells = x.flatten(2).transpose(1, 2) @ layer.weight[:, :, 0, 0].T + layer.bias
        level = cells.transpose(1, 2).unflatten(2, x.shape[2:])
        levels.append(F.interpolate(level, maps[0].shape[2:], mode="bilinear", align_corners=False))
    conv, norm, _ = head.fuse.children()
    fused = torch.einsum("oc,nchw->nohw", conv.weight[:, :, 0, 0], torch.cat(levels, dim=1))
    fused = F.relu(F.batch_norm(fused, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    torch.testing.assert_close(features, fused)
    scores = torch.einsum("kc,nchw->nkhw", head.classifier.conv.weight[:, :, 0, 0], fused)
    torch.testing.assert_close(logits, scores + head.classifier.conv.bias[:, None, None])


@pytest.mark.parametrize(("backbone", "stride"), [("resnet10t", 8), ("pvt_v2_b0", 32), ("convnext_atto", 32)])
def test_any_backbone_may_stand_under_it(backbone: str, stride: Literal[8, 32]) -> None:
    design = replace(TOY_DESIGN, architecture="segformer", backbone=backbone, output_stride=stride)
    assert build_segmenter(design).eval()(torch.rand(1, 3, 64, 96)).logits.shape[2:] == (16, 24)


@pytest.mark.slow
def test_a_transformer_under_it_exports(tmp_path: Path) -> None:
    design = replace(TOY_DESIGN, architecture="segformer", backbone="pvt_v2_b0", output_stride=32)
    network, path = build_segmenter(design).eval(), tmp_path / "logits.onnx"
    export_graph(LabelsGraph(network), design, InputShape(1, 48, 64), 20, tmp_path / "model.onnx")
    write_logits(tmp_path / "model.onnx", path)
    assert largest_logit_difference(network, path, [toy_pair(0)[0][None]]) < 1e-4
