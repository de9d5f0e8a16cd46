"""Outputs of networks that do not exist, for tests of methods."""

import torch

from models.segmenter import SegmentationOutput

CLASSES = 3


def random_output(backbone: int, head: int, height: int, width: int, images: int = 2) -> SegmentationOutput:
    """A record with the given channels; every map is a leaf that takes a gradient."""
    shapes = {"logits": CLASSES, "auxiliary_logits": CLASSES, "head_features": head, "backbone_features": backbone}
    return SegmentationOutput(
        **{name: torch.randn(images, c, height, width, requires_grad=True) for name, c in shapes.items()}
    )


def random_labels(height: int, width: int, images: int = 2) -> torch.Tensor:
    """Labels of all classes with some unlabelled pixels."""
    labels = torch.randint(CLASSES, (images, height, width))
    labels[torch.rand(labels.shape) < 0.2] = 255
    return labels
