"""Channel-wise distillation (CWD), arXiv 2011.13256."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.distillation.method import CellLabels, HeadMethod, Maps, Method, Output, Scalar
from pipeline.params.sections import Positive, section

VALUES_AT_ONCE = 2**24  # values widened together on a GPU, which is idle between small kernels


class CWD(Method):
    """Match the softmax over space of each class's logits with the teacher's.

    A constant added to a whole map changes nothing, so CWD is usually combined with pixel-wise distillation.
    """

    @section
    class Params:
        temperature: Positive = 4.0  # temperature of both softmaxes, as in CIRKD and MGD; the authors' runs have 5

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return channel_divergence(student.logits, teacher.logits, self.params.temperature)


class CWDFeatures(HeadMethod):
    """CWD on the head's features; a 1x1 convolution brings the student's to the teacher's channels.

    The loss is averaged over the teacher's channels, as in the paper. CIRKD's code averages over the student's, so its
    weight of 50 is a weight of 100 (128 to 256 channels) or 200 (128 to 512) here.
    """

    @section
    class Params:
        temperature: Positive = 4.0  # temperature of both softmaxes; CIRKD's value

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return channel_divergence(self.align(student.head_features), teacher.head_features, self.params.temperature)


def channel_divergence(student: Maps, teacher: Maps, temperature: float) -> Scalar:
    """Return KL(teacher || student) between spatial softmaxes, averaged over the n*c maps, in float32 or wider.

    It is multiplied by temperature**2, so that the size of the gradient does not depend on the temperature. The teacher
    gets no gradient.
    """
    return ChannelDivergence.apply(student, teacher, temperature)  # type: ignore[reportReturnType]


class ChannelDivergence(torch.autograd.Function):
    """Computes the loss for some images at a time, so that only these are widened to float32.

    The gradient is in closed form: (student's softmax - teacher's) * temperature / maps.
    """

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(student, teacher)
        ctx.temperature = temperature
        pairs = _spatial_log_softmaxes(student, teacher, temperature)
        total = sum((log_t.exp() * (log_t - log_s)).sum() for log_s, log_t in pairs)
        return total * (temperature**2 / (student.shape[0] * student.shape[1]))  # type: ignore[reportReturnType]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[reportIncompatibleMethodOverride]
        student, teacher = ctx.saved_tensors
        result = torch.empty_like(student)
        factor = gradient * (ctx.temperature / (student.shape[0] * student.shape[1]))
        pairs = _spatial_log_softmaxes(student, teacher, ctx.temperature)
        for images, (log_s, log_t) in zip(_some_at_a_time(result), pairs, strict=True):
            images.copy_(log_s.exp_().sub_(log_t.exp_()).mul_(factor).view_as(images))
        return result, None, None


def _spatial_log_softmaxes(
    student: Maps, teacher: Maps, temperature: float
) -> Iterator[tuple[Float[Tensor, "m c cells"], Float[Tensor, "m c cells"]]]:
    dtype = torch.promote_types(student.dtype, torch.float32)
    for pair in zip(_some_at_a_time(student), _some_at_a_time(teacher), strict=True):
        scores = [maps.flatten(2).to(dtype) / temperature for maps in pair]
        yield tuple(maps.sub_(maps.logsumexp(dim=2, keepdim=True)) for maps in scores)  # type: ignore[reportReturnType]


def _some_at_a_time(maps: Maps) -> tuple[Tensor, ...]:
    if maps.device.type == "cpu":  # one image fits a CPU's cache: twice as fast when measured
        return maps.split(1)
    return maps.split(max(1, VALUES_AT_ONCE // maps[0].numel()))
