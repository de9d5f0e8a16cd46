"""Base classes and parameters of all distillation methods, and functions that several of them share."""

import functools
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from pydantic import ValidationError
from torch import Tensor, nn

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation import METHODS
from pipeline.errors import ParamsError
from pipeline.params.sections import complaints, nearest, read_section, section

if TYPE_CHECKING:  # its import takes 0.3 s, and stages that only check parameters do not need it
    from pipeline.training.objective import Objective, Task

P = ParamSpec("P")
R = TypeVar("R")
Output = SegmentationOutput
Scalar = Float[Tensor, ""]
Labels = Int64[Tensor, "n H W"]
CellLabels = Int64[Tensor, "n h w"]
Maps = Float[Tensor, "n c h w"]
TeacherMaps = Float[Tensor, "n b h w"]  # its channels may differ from the student's
Logits = Float[Tensor, "n k h w"]


@section
class NoParams:
    """Section of a method without parameters."""


class Preparation(NamedTuple):
    """A training of a method's own parameters, before the student's training and on the same crops.

    Its objective trains parameters of the method. They are frozen afterwards, and saved with the student's state. If
    the objective holds a frozen teacher, its attribute must be called `teacher`.
    """

    objective: "Objective"
    iterations_share: float  # share of the student's iterations
    learning_rate: float  # at the start; all other optimizer settings are those of the student's training


class Method(nn.Module):
    """A distance between two networks. Subclasses define `forward` and `Params`, their section in `params.yaml`.

    The maps of the frozen teacher are first resized to the student's size. Layers of a method are trained with the
    student and then discarded. `iterations` are those of the student's training.
    """

    Params: ClassVar[type] = NoParams
    shares: int = 1  # number of shares of each batch, for losses that are sums over it
    needs_auxiliary_heads: ClassVar[bool] = False  # if no method needs it, the teacher's is removed

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__()
        self.params = params

    def preparation(self, teacher: Segmenter, task: "Task") -> Preparation | None:
        """Return the training that this method needs before the student's; most methods need none."""
        return None

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        raise NotImplementedError

    def advance(self) -> None:
        """Take note that an update is done."""


class BackboneMethod(Method):
    """A method whose `align` brings the student's backbone features to the teacher's channels."""

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = align(student.backbone_channels, teacher.backbone_channels)


class HeadMethod(Method):
    """A method whose `align` brings the student's head features to the teacher's channels."""

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = nn.Conv2d(student.head_channels, teacher.head_channels, kernel_size=1, bias=False)


def align(student_channels: int, teacher_channels: int) -> nn.Module:
    """Build a 1x1 convolution from the student's channels to the teacher's; the identity if they are equal."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, kernel_size=1)


def labels_at_cells(labels: Labels, height: int, width: int) -> CellLabels:
    """Return the label at the upper left corner of each cell: PyTorch's `nearest`, which all authors use."""
    return F.interpolate(labels[:, None].to(torch.float32), size=(height, width), mode="nearest")[:, 0].long()


def at_least_float32(compare: Callable[P, R]) -> Callable[P, R]:
    """Run `compare` outside autocast with its floating-point tensors as float32; float64 stays float64.

    The convolutions of a method may run in half precision, but its softmaxes, logarithms and norms may not.
    """

    def widen(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.to(torch.promote_types(value.dtype, torch.float32))
        return value

    @functools.wraps(compare)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device.type for value in args if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return compare(*map(widen, args), **kwargs)  # type: ignore[reportCallIssue]

    return widened


def method_class(name: str) -> type[Method]:
    """Import the class of a method; raise ParamsError if the table has no such name."""
    if name not in METHODS:
        raise ParamsError(f"no method {name!r}{nearest(name, METHODS)}; known are {', '.join(METHODS)}")
    return pkgutil.resolve_name(METHODS[name])


def method_params(name: str, values: Mapping[str, Any]) -> Any:
    """Check a method's section of params.yaml and fill in its defaults; raise ParamsError with all errors at once."""
    try:
        return read_section(method_class(name).Params, values)
    except ValidationError as error:
        said = complaints(error, f"methods.{name}")
        raise ParamsError(f"methods.{name} of params.yaml is not valid:\n{said}") from error


def run_methods(names: Iterable[str], values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Check the parameters of the methods that a run uses; `values` is section `methods` of params.yaml."""
    return {name: method_params(name, values.get(name, {})) for name in names}
