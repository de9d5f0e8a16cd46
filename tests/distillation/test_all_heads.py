"""Every method, between networks of every kind: other heads, other strides, other kinds of backbone."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from models.build import build_segmenter
from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation import METHODS
from pipeline.distillation.objective import resize_teacher
from tests.distillation.outputs import build_method
from tests.toy import TOY_DESIGN

CHANGES = {
    "pspnet": {},
    "ladder": {"architecture": "ladder", "output_stride": 32},
    "segformer": {"architecture": "segformer", "backbone": "pvt_v2_b0", "output_stride": 32},
    "vit": {"architecture": "segformer", "backbone": "vit_tiny_patch16_224"},
}
PAIRS = [("ladder", "pspnet"), ("pspnet", "ladder"), ("pspnet", "segformer"), ("pspnet", "vit"), ("ladder", "vit")]


@cache
def _seen(network: str, trained: bool) -> tuple[Segmenter, SegmentationOutput]:
    torch.manual_seed(0)
    segmenter = build_segmenter(replace(TOY_DESIGN, **CHANGES[network])).train(trained).requires_grad_(trained)
    return segmenter, segmenter(torch.rand(2, 3, 64, 96))


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_teaches_across_architectures(name: str, student: str, teacher: str) -> None:
    (learning, ours), (frozen, theirs) = _seen(student, True), _seen(teacher, False)
    torch.manual_seed(1)
    method = build_method(name, {}, learning, frozen, 10)
    labels = torch.randint(learning.classes, (2, *ours.logits.shape[-2:]))
    loss = method(ours, resize_teacher(ours, theirs), labels)
    assert loss.isfinite()
    trained = [weight for network in (learning, method) for weight in network.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
    backbone = sum(1 for _ in learning.backbone.parameters())
    assert any(gradient is not None and gradient.any() for gradient in gradients[:backbone])
