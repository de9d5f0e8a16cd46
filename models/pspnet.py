"""Pyramid pooling head (PSPNet, arXiv 1612.01105; geometry of mmseg's PSPHead)."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import FeatureMap
from models.heads import ConvBNReLU, Head, PixelClassifier
from models.resize import bilinear, pool_to_bins

BINS = (1, 2, 3, 6)


class PSPHead(Head):
    """Average the last map over grids of 1, 2, 3 and 6 bins a side, bring each back to full size, and fuse.

    With one-pixel bins BatchNorm needs at least two images in training.
    """

    def __init__(self, maps: Sequence[FeatureMap], channels: int, classes: int):
        super().__init__()
        wide = maps[-1].channels
        self.branches = nn.ModuleList(ConvBNReLU(wide, channels, kernel_size=1) for _ in BINS)
        self.fuse = ConvBNReLU(wide + len(BINS) * channels, channels, kernel_size=3)
        self.classifier = PixelClassifier(channels, classes)

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, Tensor]:
        last = maps[-1]
        height, width = last.shape[-2:]
        pyramid = [
            bilinear(branch(pool_to_bins(last, bins)), height, width)
            for bins, branch in zip(BINS, self.branches, strict=True)
        ]
        fused = self.fuse(torch.cat([last, *pyramid], dim=1))
        return fused, self.classifier(fused)

    def connections(self, maps: Sequence[str]) -> Iterator[tuple[nn.Module, tuple[str, ...], str]]:
        names = [f"head.branches.{index}" for index in range(len(BINS))]
        for branch, name in zip(self.branches, names, strict=True):
            yield branch, (maps[-1],), name
        yield self.fuse, (maps[-1], *names), "head.fuse"
