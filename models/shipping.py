"""The graphs that ship: uint8 image in, uint8 labels out; and their sibling with logits, for parity and calibration."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.resize import bilinear
from models.segmenter import Segmenter


class LogitsGraph(nn.Module):
    """Image to class scores at image size; the auxiliary head is gone."""

    def __init__(self, segmenter: Segmenter):
        super().__init__()
        self.segmenter = segmenter.eval()
        self.segmenter.auxiliary_head = None
        self.eval()

    def forward(self, image: UInt8[Tensor, "n H W 3"]) -> Float[Tensor, "n k H W"]:
        # Cast before the permute: TensorRT refuses to transpose uint8.
        rgb = image.float().permute(0, 3, 1, 2) / 255
        return bilinear(self.segmenter(rgb).logits.float(), image.shape[1], image.shape[2])


class LabelsGraph(LogitsGraph):
    """Image to the most likely class of each pixel."""

    def forward(self, image: UInt8[Tensor, "n H W 3"]) -> UInt8[Tensor, "n H W"]:
        return super().forward(image).argmax(dim=1).to(torch.uint8)


def to_half(segmenter: Segmenter) -> Segmenter:
    """fp16 weights; the normalization of the input stays in float32."""
    mean, std = segmenter.mean, segmenter.std
    segmenter.half()
    segmenter.mean, segmenter.std = mean, std
    return segmenter
