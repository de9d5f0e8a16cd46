"""A backbone that learns from a classifier's answers, without labels: to crops that are never the same twice.

Function matching, after Beyer et al., "Knowledge distillation: a good teacher is patient and consistent" (arXiv
2106.05237): both networks see the very same crop, mixed with another image, for a long time.
"""

from typing import Self

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.classifier import Classifier, ClassifierOutput
from pipeline.data.augmentation import distort
from pipeline.data.dataset import network_input
from pipeline.distillation.kd import class_divergence
from pipeline.distillation.method import align
from pipeline.distillation.nfd import normalized_distance
from pipeline.training.objective import Loss, Objective


class ImitationObjective(Objective):
    """class_weight * KL of the classes + feature_weight * distance of the standardized last feature maps.

    Args:
        teacher: is frozen here.
        mixup: the largest share of a second image in each, 0..0.5.
        temperature: of both softmaxes.
    """

    def __init__(
        self, student: Classifier, teacher: Classifier, mixup: float, temperature: float,
        class_weight: float, feature_weight: float,
    ):  # fmt: skip
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False)
        self.align = align(student.backbone.channels, teacher.backbone.channels)
        self.mixup = mixup
        self.temperature = temperature
        self.class_weight = class_weight
        self.feature_weight = feature_weight

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()
        return self

    def grad_clip_groups(self) -> tuple[nn.Module, ...]:
        return (self.student, self.align) if any(True for _ in self.align.parameters()) else (self.student,)

    def forward(
        self, image: UInt8[Tensor, "n 3 H W"], labels: UInt8[Tensor, "n H W"], distortion: Float[Tensor, "n 4"]
    ) -> Loss:
        seen = mixed(distort(network_input(image), distortion), self.mixup)
        with torch.no_grad():
            teacher: ClassifierOutput = self.teacher(seen)
        student: ClassifierOutput = self.student(seen)
        classes = self.class_weight * class_divergence(_cells(student), _cells(teacher), self.temperature)
        features = self.feature_weight * normalized_distance(self.align(student.features), teacher.features)
        agreement = (student.logits.argmax(dim=1) == teacher.logits.argmax(dim=1)).float().mean()
        terms = {"classes": classes.detach(), "features": features.detach()}
        return Loss(classes + features, None, terms, {"agreement": agreement})


def mixed(image: Float[Tensor, "n 3 H W"], largest: float) -> Float[Tensor, "n 3 H W"]:
    """Each image with a share (uniform in 0..largest) of the next one in the batch (mixup, arXiv 1710.09412)."""
    if not largest:
        return image
    share = largest * torch.rand(len(image), 1, 1, 1, device=image.device)
    return image.lerp(image.roll(1, dims=0), share)


def _cells(output: ClassifierOutput) -> Float[Tensor, "n k 1 1"]:
    """An image's scores as those of a map of one cell."""
    return output.logits[:, :, None, None]
