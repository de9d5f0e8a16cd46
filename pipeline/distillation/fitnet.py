"""FitNet's hint, arXiv 1412.6550, as a loss term from the first iteration (CIRKD's form)."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32


class Hint(nn.Module):
    """Regress the teacher's head features from the student's through one 1x1 convolution.

    Nothing is normalized: the weight depends on the scale of the teacher's features.
    """

    def __init__(self, student_channels: int, teacher_channels: int):
        super().__init__()
        self.align = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return mean_squared_distance(self.align(student.head_features), teacher.head_features)


@at_least_float32
def mean_squared_distance(student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Mean over all elements."""
    return F.mse_loss(student, teacher)
