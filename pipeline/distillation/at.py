"""Attention transfer (AT), arXiv 1612.03928."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.segmenter import SegmentationOutput
from pipeline.distillation.method import Labels, Maps, Method, Scalar, TeacherMaps, at_least_float32


class AT(Method):
    """Where the head's features are strong, the student's have to be strong too; channels may differ in number."""

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return attention_distance(student.head_features, teacher.head_features)


@at_least_float32
def attention_distance(student: Maps, teacher: TeacherMaps) -> Scalar:
    """Mean squared difference of the two attention maps.

    The maps are of unit length, so the value is at most 2/(h*w): hence weights of thousands, which must grow with the
    number of cells. The authors' 10000 (CIRKD) is for 64 x 128.
    """
    return F.mse_loss(_attention(student), _attention(teacher))


def _attention(features: Maps) -> Float[Tensor, "n cells"]:
    return F.normalize(features.square().mean(dim=1).flatten(1), dim=1)
