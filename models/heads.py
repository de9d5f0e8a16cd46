"""Base class and parts of the heads, and the auxiliary head (mmseg's FCNHead)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import ConfigDict
from torch import Tensor, nn

from models.errors import ModelError
from models.resize import bilinear, pool_to_bins

Connection = tuple[nn.Module, tuple[str, ...], str]
"""A ConvBNReLU, the spaces that it reads in order of concatenation, and the one that it writes (models/pruning.py)."""
DROPOUT = 0.1  # share of channels dropped before the classifier, as in every mmseg head


class ConvBNReLU(nn.Sequential):
    """Conv (no bias), BatchNorm, ReLU; keeps the spatial size."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class Pyramid(nn.ModuleList):
    """The maps, concatenated with their means over square grids.

    `bins` holds the number of bins along a side of each grid. Each mean goes through a 1x1 convolution, and is resized
    to full size.
    """

    def __init__(self, in_channels: int, channels: int, bins: Sequence[int]):
        super().__init__(ConvBNReLU(in_channels, channels, kernel_size=1) for _ in bins)
        self.bins = bins

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        pooled = [branch(pool_to_bins(maps, bins)) for branch, bins in zip(self, self.bins, strict=True)]
        return torch.cat([maps, *(bilinear(branch, height, width) for branch in pooled)], dim=1)

    def connections(self, reads: str) -> list[Connection]:
        return [(branch, (reads,), f"head.branches.{index}") for index, branch in enumerate(self)]


class PixelClassifier(nn.Module):
    """Dropout and the 1x1 convolution to class scores."""

    def __init__(self, in_channels: int, classes: int):
        super().__init__()
        self.dropout = nn.Dropout2d(DROPOUT)
        self.conv = nn.Conv2d(in_channels, classes, kernel_size=1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.bias)  # type: ignore[reportArgumentType]

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(self.dropout(features))


class AuxiliaryHead(nn.Module):
    """Class scores from the second-to-last map, for a second loss in training; removed at export."""

    def __init__(self, in_channels: int, channels: int, classes: int):
        super().__init__()
        self.conv = ConvBNReLU(in_channels, channels, kernel_size=3)
        self.classifier = PixelClassifier(channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.conv(features))


class Head(nn.Module):
    """Base class of heads: turns feature maps into head features and class scores.

    `Head(maps, channels, classes, **own)` gets the backbone's maps, the number of channels of its features, the number
    of classes, and the fields of its `Params`. It selects its maps by their position from the last one. It raises
    ModelError if the backbone's maps do not fit.
    """

    classifier: PixelClassifier

    @dataclass(frozen=True)
    class Params:
        """Further parameters of a head, with their defaults; none in this base class."""

        __pydantic_config__ = ConfigDict(extra="forbid")

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, Tensor]:
        """Return (head features, logits)."""
        raise NotImplementedError

    def connections(self, maps: Sequence[str]) -> Iterator[Connection]:
        """Yield each convolution between the backbone's maps and the head features, whose space is `head.fuse`.

        Args:
            maps: names of the spaces of the backbone's maps.
        """
        raise ModelError(f"head {type(self).__name__} cannot be pruned; use pspnet, deeplabv3 or ladder")
