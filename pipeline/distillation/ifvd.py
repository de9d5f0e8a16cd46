"""Intra-class Feature Variation Distillation (IFVD), ECCV 2020 (Wang, Zhou, Jiang, Bai, Xu)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import CellLabels, Maps, Method, Output, Scalar, at_least_float32

EPSILON = 1e-6  # added to the number of cells of a class


class IFVD(Method):
    """Match each cell's similarity to the mean of its class with the teacher's; channel counts may differ."""

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return variation_distance(student.head_features, teacher.head_features, labels, student.logits.shape[1])


@at_least_float32
def variation_distance(student: Maps, teacher: Float[Tensor, "n b h w"], labels: CellLabels, classes: int) -> Scalar:
    """Return the mean squared difference of the two similarity maps; unlabelled cells count with difference 0."""
    ours, theirs = (similarity_to_own_class(maps, labels, classes) for maps in (student, teacher))
    return F.mse_loss(ours, theirs)


def similarity_to_own_class(features: Maps, labels: CellLabels, classes: int) -> Float[Tensor, "n cells"]:
    """Return the cosine between each cell and the mean of its class in the same image; 1 for unlabelled cells."""
    cells, labels = features.flatten(2), labels.flatten(1)
    labelled = labels != IGNORE_INDEX
    member = F.one_hot(torch.where(labelled, labels, 0), classes).to(cells) * labelled[..., None]
    centers = cells @ member / (member.sum(dim=1, keepdim=True) + EPSILON)
    own = torch.where(labelled[:, None], centers @ member.transpose(1, 2), cells)
    return F.cosine_similarity(cells, own, dim=1)
