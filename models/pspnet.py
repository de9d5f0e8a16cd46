"""Pyramid pooling head (PSPNet, arXiv 1612.01105; geometry of mmseg's PSPHead)."""

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from models.backbone import FeatureMap
from models.heads import Connection, ConvBNReLU, Head, PixelClassifier, Pyramid

BINS = (1, 2, 3, 6)


class PSPHead(Head):
    """The last map and its means over grids of 1, 2, 3 and 6 bins a side, all at full size, fused by a convolution."""

    def __init__(self, maps: Sequence[FeatureMap], channels: int, classes: int):
        super().__init__()
        wide = maps[-1].channels
        self.branches = Pyramid(wide, channels, BINS)
        self.fuse = ConvBNReLU(wide + len(BINS) * channels, channels, kernel_size=3)
        self.classifier = PixelClassifier(channels, classes)

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, Tensor]:
        fused = self.fuse(self.branches(maps[-1]))
        return fused, self.classifier(fused)

    def connections(self, maps: Sequence[str]) -> Iterator[Connection]:
        branches = self.branches.connections(maps[-1])
        yield from branches
        yield self.fuse, (maps[-1], *(name for _, _, name in branches)), "head.fuse"
