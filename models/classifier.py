"""Image classifiers for pre-training: an ImageNet classifier, and a backbone that learns to imitate it."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import Backbone, build_backbone, read_weights
from models.errors import ModelError
from models.segmenter import IMAGENET_MEAN, IMAGENET_STD

CLASSIFIER_STRIDE = 32  # output stride of all ImageNet classifiers


class ClassifierOutput(NamedTuple):
    logits: Float[Tensor, "n k"]
    features: Float[Tensor, "n c h w"]  # before the mean over space


class Classifier(nn.Module):
    """A backbone, the mean over space and one linear layer: turns RGB in 0..1 into class scores."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, classes: int):
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.channels, classes)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Float[Tensor, "n 3 H W"]) -> ClassifierOutput:
        features = self.backbone((image - self.mean) / self.std)[-1]
        return ClassifierOutput(self.fc(features.mean(dim=(2, 3))), features)


def new_classifier(backbone: str, classes: int) -> Classifier:
    """Build a classifier with fresh weights; raises ModelError for a backbone that timm does not have."""
    return Classifier(build_backbone(backbone, CLASSIFIER_STRIDE), classes)


def load_classifier(backbone: str, path: Path) -> Classifier:
    """Load a trained classifier from a safetensors file with timm's names.

    Raises ModelError if the file holds no classifier, or the classifier of another network.
    """
    weights = read_weights(path)
    if missing := [name for name in ("fc.weight", "fc.bias") if name not in weights]:
        raise ModelError(
            f"{path} has no {' and no '.join(missing)}: it is a backbone, or not a ResNet; "
            f"use the file of a ResNet classifier"
        )
    weight, bias = weights["fc.weight"], weights["fc.bias"]
    classifier = new_classifier(backbone, max(1, bias.numel()))
    from models.timm_backbone import load_backbone_weights

    load_backbone_weights(classifier.backbone, path)
    if weight.shape != classifier.fc.weight.shape or bias.shape != classifier.fc.bias.shape:
        raise ModelError(
            f"{path}: fc.weight has shape {tuple(weight.shape)} and fc.bias {tuple(bias.shape)}, but {backbone} has "
            f"{classifier.backbone.channels} channels; use a file of this backbone"
        )
    classifier.fc.load_state_dict({"weight": weight, "bias": bias})
    return classifier.eval()
