"""Atrous spatial pyramid head (DeepLabV3, arXiv 1706.05587; geometry of mmseg's ASPPHead at output stride 8)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.heads import Classifier, ConvBNReLU

DILATIONS = (12, 24, 36)


class AtrousPyramidHead(nn.Module):
    """The image's mean, a 1x1 and three dilated 3x3 convolutions of the same map, side by side, then fused.

    The pooled branch is one pixel, so BatchNorm needs at least two images in training.
    """

    def __init__(self, in_channels: int, channels: int, classes: int):
        super().__init__()
        self.image_pool = ConvBNReLU(in_channels, channels, kernel_size=1)
        self.branches = nn.ModuleList(
            [
                ConvBNReLU(in_channels, channels, kernel_size=1),
                *(ConvBNReLU(in_channels, channels, kernel_size=3, dilation=d) for d in DILATIONS),
            ]
        )
        self.fuse = ConvBNReLU((2 + len(DILATIONS)) * channels, channels, kernel_size=3)
        self.classifier = Classifier(channels, classes)

    def forward(self, features: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
        """Returns (head features, logits)."""
        pooled = self.image_pool(features.mean(dim=(2, 3), keepdim=True))
        height, width = features.shape[-2:]
        context = pooled.expand(-1, -1, height, width)  # what bilinear resizing of one pixel comes to
        fused = self.fuse(torch.cat([context, *(branch(features) for branch in self.branches)], dim=1))
        return fused, self.classifier(fused)
