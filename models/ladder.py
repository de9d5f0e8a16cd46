"""Ladder decoder (SwiftNet, arXiv 1903.08469): cheap context at stride 32, details from the finer maps."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import FeatureMap
from models.errors import ModelError
from models.heads import Connection, ConvBNReLU, Head, PixelClassifier, Pyramid
from models.resize import bilinear

BINS = (1, 2, 4, 8)
FINER = 3  # number of maps that are finer than the last


class LadderHead(Head):
    """Pyramid pooling on the last map. Then, for each finer map: upsample, add its 1x1 lateral, blend by a 3x3.

    Convolutions come before their BatchNorm and ReLU, not after them as in the paper, so that BatchNorms can be folded.
    """

    def __init__(self, maps: Sequence[FeatureMap], channels: int, classes: int):
        super().__init__()
        strides = [features.stride for features in maps]
        if any(2 * fine != coarse for fine, coarse in pairwise(strides)):
            raise ModelError(
                f"head ladder needs feature maps of strides 4, 8, 16 and 32, but the backbone's are {strides}; "
                f"set output_stride: 32 and use a convolutional backbone"
            )
        self.reduce = ConvBNReLU(maps[-1].channels, channels, kernel_size=1)
        level = max(1, channels // len(BINS))
        self.branches = Pyramid(channels, level, BINS)
        self.pyramid = ConvBNReLU(channels + len(BINS) * level, channels, kernel_size=1)
        finer = maps[-1 - FINER : -1]
        self.laterals = nn.ModuleList(ConvBNReLU(fine.channels, channels, kernel_size=1) for fine in finer)
        self.blends = nn.ModuleList(ConvBNReLU(channels, channels, kernel_size=3) for _ in finer)
        self.classifier = PixelClassifier(channels, classes)

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, Tensor]:
        features = self.pyramid(self.branches(self.reduce(maps[-1])))
        for index in reversed(range(FINER)):
            lateral = self.laterals[index](maps[index - 1 - FINER])
            features = self.blends[index](bilinear(features, lateral.shape[-2], lateral.shape[-1]) + lateral)
        return features, self.classifier(features)

    def connections(self, maps: Sequence[str]) -> Iterator[Connection]:
        branches = self.branches.connections("head.reduce")
        yield self.reduce, (maps[-1],), "head.reduce"
        yield from branches
        yield self.pyramid, ("head.reduce", *(name for _, _, name in branches)), f"head.sum.{FINER - 1}"
        for index in reversed(range(FINER)):  # the two sides of an addition have the same channels
            yield self.laterals[index], (maps[index - 1 - FINER],), f"head.sum.{index}"
            yield self.blends[index], (f"head.sum.{index}",), f"head.sum.{index - 1}" if index else "head.fuse"
