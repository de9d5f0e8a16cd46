"""Pyramid pooling head (PSPNet, arXiv 1612.01105; geometry of mmseg's PSPHead)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.heads import Classifier, ConvBNReLU
from models.resize import bilinear

BINS = (1, 2, 3, 6)


class PyramidPoolingHead(nn.Module):
    """Average the map over grids of 1, 2, 3 and 6 bins a side, bring each back to full size, and fuse.

    With one-pixel bins BatchNorm needs at least two images in training.
    """

    def __init__(self, in_channels: int, channels: int, classes: int):
        super().__init__()
        self.branches = nn.ModuleList(ConvBNReLU(in_channels, channels, kernel_size=1) for _ in BINS)
        self.fuse = ConvBNReLU(in_channels + len(BINS) * channels, channels, kernel_size=3)
        self.classifier = Classifier(channels, classes)

    def forward(self, features: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
        """Returns (head features, logits)."""
        height, width = features.shape[-2:]
        pyramid = [
            bilinear(branch(pool_to_bins(features, bins)), height, width)
            for bins, branch in zip(BINS, self.branches, strict=True)
        ]
        fused = self.fuse(torch.cat([features, *pyramid], dim=1))
        return fused, self.classifier(fused)


def pool_to_bins(features: Float[Tensor, "n c h w"], bins: int) -> Float[Tensor, "n c b b"]:
    """Adaptive average pooling as two matrix products.

    `F.adaptive_avg_pool2d` gives the same numbers, but exports as thousands of nodes where bins are uneven, and as a
    silently wrong graph where the input size is dynamic.
    """
    rows = bin_weights(features.shape[-2], bins).to(features)
    columns = bin_weights(features.shape[-1], bins).to(features)
    return rows @ features @ columns.T


def bin_weights(cells: int, bins: int) -> Float[Tensor, "bins cells"]:
    """Each row averages the cells from floor(i * cells / bins) up to ceil((i + 1) * cells / bins)."""
    index = torch.arange(bins)
    start, stop = index * cells // bins, -(-(index + 1) * cells // bins)
    cell = torch.arange(cells)
    inside = (cell >= start[:, None]) & (cell < stop[:, None])
    return inside.double() / inside.sum(dim=1, keepdim=True)
