"""Intra-class Feature Variation Distillation (IFVD), ECCV 2020 (Wang, Zhou, Jiang, Bai, Xu)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import (
    CellLabels,
    Labels,
    Maps,
    Method,
    NoParams,
    Scalar,
    TeacherMaps,
    at_least_float32,
    labels_at_cells,
)  # fmt: skip

EPSILON = 1e-6  # added to the number of cells of a class


class IFVD(Method):
    """How similar a cell is to the mean of its class must be as in the teacher; channels may differ in number."""

    def __init__(self, params: NoParams, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.classes = student.classes

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        at_cells = labels_at_cells(labels, *student.head_features.shape[-2:])
        return variation_distance(student.head_features, teacher.head_features, at_cells, self.classes)


@at_least_float32
def variation_distance(student: Maps, teacher: TeacherMaps, labels: CellLabels, classes: int) -> Scalar:
    """Mean squared difference of the two maps of similarity; unlabelled cells count, with difference 0."""
    return F.mse_loss(
        similarity_to_own_class(student, labels, classes), similarity_to_own_class(teacher, labels, classes)
    )


def similarity_to_own_class(features: Maps, labels: CellLabels, classes: int) -> Float[Tensor, "n cells"]:
    """Cosine between each cell and the mean of its class in the same image; 1 where the cell is unlabelled."""
    cells, labels = features.flatten(2), labels.flatten(1)
    labelled = labels != IGNORE_INDEX
    member = F.one_hot(torch.where(labelled, labels, 0), classes).to(cells) * labelled[..., None]
    centers = cells @ member / (member.sum(dim=1, keepdim=True) + EPSILON)
    own = torch.where(labelled[:, None], centers @ member.transpose(1, 2), cells)
    return F.cosine_similarity(cells, own, dim=1)
