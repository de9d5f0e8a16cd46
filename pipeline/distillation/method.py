"""What every distillation method is made of: its base class, and the few functions that several of them share."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import Segmenter
from pipeline.params.sections import section

P = ParamSpec("P")
R = TypeVar("R")
Scalar = Float[Tensor, ""]
Labels = Int64[Tensor, "n H W"]
CellLabels = Int64[Tensor, "n h w"]
Maps = Float[Tensor, "n c h w"]
TeacherMaps = Float[Tensor, "n b h w"]  # whose channels may differ from the student's
Logits = Float[Tensor, "n k h w"]


@section
class NoParams:
    """Section of a method that has nothing to set."""


class Method(nn.Module):
    """A distance between two networks. Subclasses define `forward(student output, teacher output, labels) -> loss`.

    Maps of the teacher come resized to the student's. Layers of a method are trained with the student and thrown away.

    Args:
        params: of the class's own `Params`, whose fields and defaults are the method's section in `params.yaml`.
        teacher: is frozen.
        iterations: of the student's training.
    """

    Params: ClassVar[type] = NoParams
    needs_auxiliary_heads: ClassVar[bool] = False  # where no method needs it, the teacher's is taken off

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__()
        self.params = params


def align(student_channels: int, teacher_channels: int) -> nn.Module:
    """Build a 1x1 convolution from the student's channels to the teacher's; the identity where they are equal."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, kernel_size=1)


def labels_at_cells(labels: Labels, height: int, width: int) -> CellLabels:
    """Take the label at the upper left corner of each cell: PyTorch's `nearest`, which all authors use."""
    return F.interpolate(labels[:, None].to(torch.float32), size=(height, width), mode="nearest")[:, 0].long()


def at_least_float32(compare: Callable[P, R]) -> Callable[P, R]:
    """Run `compare` outside autocast with its floating tensors as float32; float64 stays what it is.

    The convolutions of a method may run in half precision, its softmaxes, logarithms and norms may not.
    """

    @functools.wraps(compare)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device.type for value in args if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return compare(*map(_widen, args), **kwargs)  # type: ignore[reportCallIssue]

    return widened


def _widen(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return value
