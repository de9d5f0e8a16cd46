"""Intra-class Feature Variation Distillation (IFVD), ECCV 2020 (Wang, Zhou, Jiang, Bai, Xu)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.cells import labels_at_cells
from pipeline.distillation.precision import at_least_float32

EPSILON = 1e-6  # added to the number of cells of a class


class IntraClassVariation(nn.Module):
    """How similar a cell is to the mean of its class must be as in the teacher; channels may differ in number."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        at_cells = labels_at_cells(labels, *student.head_features.shape[-2:])
        return variation_distance(student.head_features, teacher.head_features, at_cells, self.classes)


@at_least_float32
def variation_distance(
    student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n b h w"], labels: Int64[Tensor, "n h w"], classes: int
) -> Float[Tensor, ""]:
    """Mean squared difference of the two maps of similarity; unlabelled cells count, with difference 0."""
    return F.mse_loss(
        similarity_to_own_class(student, labels, classes), similarity_to_own_class(teacher, labels, classes)
    )


def similarity_to_own_class(
    features: Float[Tensor, "n c h w"], labels: Int64[Tensor, "n h w"], classes: int
) -> Float[Tensor, "n cells"]:
    """Cosine between each cell and the mean of its class in the same image; 1 where the cell is unlabelled."""
    cells, labels = features.flatten(2), labels.flatten(1)
    labelled = labels != IGNORE_INDEX
    member = F.one_hot(torch.where(labelled, labels, 0), classes).to(cells) * labelled[..., None]
    centers = cells @ member / (member.sum(dim=1, keepdim=True) + EPSILON)
    own = torch.where(labelled[:, None], centers @ member.transpose(1, 2), cells)
    return F.cosine_similarity(cells, own, dim=1)
