"""All-MLP head (SegFormer, arXiv 2105.15203): it fuses all maps of a large backbone, for teachers."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import FeatureMap
from models.heads import ConvBNReLU, Head, PixelClassifier
from models.resize import bilinear


class AllMLPHead(Head):
    """One linear layer for each map, its output resized to the finest map, and one layer that fuses all of them."""

    def __init__(self, maps: Sequence[FeatureMap], channels: int, classes: int):
        super().__init__()
        self.coarser = [features.stride != maps[0].stride for features in maps]  # a ViT's maps have one size
        self.linear = nn.ModuleList(nn.Conv2d(features.channels, channels, kernel_size=1) for features in maps)
        self.fuse = ConvBNReLU(len(maps) * channels, channels, kernel_size=1)
        self.classifier = PixelClassifier(channels, classes)

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, Tensor]:
        height, width = maps[0].shape[-2:]
        levels = [layer(maps[index]) for index, layer in enumerate(self.linear)]
        for index, coarser in enumerate(self.coarser):
            levels[index] = bilinear(levels[index], height, width) if coarser else levels[index]
        fused = self.fuse(torch.cat(levels, dim=1))
        return fused, self.classifier(fused)
