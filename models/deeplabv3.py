"""Atrous spatial pyramid head (DeepLabV3, arXiv 1706.05587; geometry of mmseg's ASPPHead)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import FeatureMap
from models.heads import Connection, ConvBNReLU, Head, PixelClassifier


class ASPPHead(Head):
    """Parallel branches on the last map (its mean, a 1x1 and dilated 3x3 convolutions), fused by a 3x3 convolution."""

    @dataclass(frozen=True)
    class Params(Head.Params):
        """Parameters of the 3x3 convolutions."""

        dilations: tuple[int, ...] = (12, 24, 36)  # cells, at output stride 8; use half of them at 16 (the paper)

    def __init__(self, maps: Sequence[FeatureMap], channels: int, classes: int, dilations: tuple[int, ...]):
        super().__init__()
        wide = maps[-1].channels
        self.image_pool = ConvBNReLU(wide, channels, kernel_size=1)
        context = (ConvBNReLU(wide, channels, kernel_size=3, dilation=dilation) for dilation in dilations)
        self.branches = nn.ModuleList([ConvBNReLU(wide, channels, kernel_size=1), *context])
        self.fuse = ConvBNReLU((2 + len(dilations)) * channels, channels, kernel_size=3)
        self.classifier = PixelClassifier(channels, classes)

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, Tensor]:
        last = maps[-1]
        pooled = self.image_pool(last.mean(dim=(2, 3), keepdim=True))
        height, width = last.shape[-2:]
        context = pooled.expand(-1, -1, height, width)  # equal to bilinear resizing of one cell
        fused = self.fuse(torch.cat([context, *(branch(last) for branch in self.branches)], dim=1))
        return fused, self.classifier(fused)

    def connections(self, maps: Sequence[str]) -> Iterator[Connection]:
        names = ["head.image_pool", *(f"head.branches.{index}" for index in range(len(self.branches)))]
        for branch, name in zip([self.image_pool, *self.branches], names, strict=True):
            yield branch, (maps[-1],), name
        yield self.fuse, tuple(names), "head.fuse"
