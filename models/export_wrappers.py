"""Graphs to export: from a uint8 image to uint8 labels for release, and to logits for parity and calibration."""

import copy

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.resize import bilinear_products
from models.segmenter import Segmenter

LARGEST_GREY = 255


class LogitsGraph(nn.Module):
    """Graph from an image to class scores at image size; holds a copy of the segmenter without its auxiliary head.

    Of the normalization, the graph only subtracts the mean. The weights of the first convolution contain the division
    by the standard deviation, where it costs nothing.
    """

    mean: Tensor

    def __init__(self, segmenter: Segmenter):
        super().__init__()
        self.segmenter = copy.deepcopy(segmenter).eval()
        self.segmenter.auxiliary_head = None
        self.register_buffer("mean", self.segmenter.mean.flatten() * LARGEST_GREY)
        first = next(part for part in self.segmenter.backbone.modules() if isinstance(part, nn.Conv2d))
        with torch.no_grad():
            first.weight.mul_(1 / (self.segmenter.std * LARGEST_GREY))
        self.eval()

    def forward(self, image: UInt8[Tensor, "n H W 3"]) -> Float[Tensor, "n k H W"]:
        # Cast before the permute: TensorRT refuses to transpose uint8. Subtract a whole row at once: ONNX Runtime
        # is slow at subtracting three numbers again and again (docs/log.md).
        row = self.mean.expand(image.shape[2], -1)
        logits = self.segmenter.from_normalized((image.float() - row).permute(0, 3, 1, 2)).logits
        # ONNX Runtime multiplies matrices faster than it resizes (docs/log.md), and all runtimes multiply alike.
        return bilinear_products(logits, image.shape[1], image.shape[2])


class LabelsGraph(LogitsGraph):
    """Graph from an image to the most likely class of each pixel."""

    def forward(self, image: UInt8[Tensor, "n H W 3"]) -> UInt8[Tensor, "n H W"]:
        return super().forward(image).argmax(dim=1).to(torch.uint8)
