"""A segmenter (backbone, head, classifier) and the named tuple that it returns.

Dimension letters, here and everywhere: n images, k classes, c channels, H x W pixels of the input, h x w cells of a
feature map (H and W times the input scale, divided by the output stride).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import Backbone
from models.heads import AuxiliaryHead, Head
from models.resize import bilinear

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SegmentationOutput(NamedTuple):
    """Outputs of a segmenter that a loss may compare; logits are not upsampled to the image."""

    logits: Float[Tensor, "n k h w"]
    auxiliary_logits: Float[Tensor, "n k h w"] | None  # None if the auxiliary head was removed
    head_features: Float[Tensor, "n c h w"]
    backbone_features: Float[Tensor, "n b h w"]  # the last map


class Segmenter(nn.Module):
    """Network from RGB in 0..1 to class scores per feature cell.

    It normalizes its own input, so that no caller can do it wrongly.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, head: Head, auxiliary_head: AuxiliaryHead, classes: int, input_scale: float):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary_head: AuxiliaryHead | None = auxiliary_head
        self.classes = classes
        self.input_scale = input_scale
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    @property
    def backbone_channels(self) -> int:
        return self.backbone.channels

    @property
    def classifier(self) -> nn.Conv2d:
        """Return the 1x1 convolution from head features to logits."""
        return self.head.classifier.conv

    @property
    def head_channels(self) -> int:
        return self.classifier.in_channels

    def forward(self, image: Float[Tensor, "n 3 H W"], image_scale: float = 1.0) -> SegmentationOutput:
        """Return the scores of both heads, and the features.

        Args:
            image_scale: scale that the image already has; 1 is native size.
        """
        return self.from_normalized((image - self.mean) / self.std, image_scale)

    def from_normalized(self, image: Float[Tensor, "n 3 H W"], image_scale: float = 1.0) -> SegmentationOutput:
        """Do the same as `forward` for an image that is already normalized."""
        small = resized(image, self.input_scale / image_scale)
        maps = self.backbone(small.to(next(self.backbone.parameters()).dtype))
        head_features, logits = self.head(maps)
        auxiliary = None if self.auxiliary_head is None else self.auxiliary_head(maps[-2])
        return SegmentationOutput(logits, auxiliary, head_features, maps[-1])


def resized(image: Float[Tensor, "n 3 H W"], scale: float) -> Float[Tensor, "n 3 u v"]:
    """Resize bilinearly without antialiasing; u and v are H and W times `scale`, rounded, and at least 1.

    To shrink three color channels, resizing is faster than two matrix products; to enlarge scores, it is slower
    (docs/log.md).
    """
    if scale == 1:
        return image
    height, width = (max(1, round(scale * side)) for side in image.shape[-2:])
    return bilinear(image, height, width)
