"""Cross-Image Relational Knowledge Distillation (CIRKD), arXiv 2204.06986, the version of CVPR 2022."""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor, nn

from models.segmenter import Segmenter
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import CellLabels, Maps, Method, Output, Scalar, at_least_float32
from pipeline.errors import ParamsError
from pipeline.params.sections import Count, NonNegative, Positive, section
from pipeline.training.processes import all_gather, broadcast_from_first, mean_over_processes

TeacherMaps = Float[Tensor, "n b h w"]
Cells = Float[Tensor, "cells b"]


CELLS_AT_ONCE = 1024


class CIRKDMiniBatch(Method):
    """Match each cell's similarities to all cells of another image with the teacher's; channel counts may differ."""

    @section
    class Params:
        """The defaults are the authors'; `group` is their batch on one GPU."""

        temperature: Positive = 0.1  # temperature of the similarities
        group: Annotated[int, Field(ge=2)] = 2  # images compared with each other; memory grows with its square

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        group = self.params.group
        groups = zip(student.head_features.split(group), teacher.head_features.split(group), strict=True)
        losses = [len(s) * cross_image_divergence(s, t, self.params.temperature) for s, t in groups]
        return torch.stack(losses).sum() / len(student.head_features)


@at_least_float32
def cross_image_divergence(student: Maps, teacher: TeacherMaps, temperature: float) -> Scalar:
    """Return the mean KL(teacher || student) over cells and ordered pairs of images.

    The distributions are softmaxes over a cell's similarities to all cells of an image.
    """

    def log_similarities(features: Maps) -> Float[Tensor, "n n cells cells"]:
        direction = F.normalize(features.flatten(2), dim=1)
        return F.log_softmax(torch.einsum("icm,jcl->ijml", direction, direction) / temperature, dim=-1)

    log_student, log_teacher = log_similarities(student), log_similarities(teacher)
    rows = log_student.numel() / log_student.shape[-1]
    return F.kl_div(log_student, log_teacher, log_target=True, reduction="sum") / rows


class CIRKDMemory(Method):
    """Match each cell's similarities to features of all classes from earlier images with the teacher's.

    Two queues for each class hold directions of the teacher's features: of single cells, and of regions, which are the
    means of a class in an image. They are filled before the losses are computed.
    """

    @section
    class Params:
        """Defaults are the authors'."""

        temperature: Positive = 0.1  # temperature of the similarities
        region_share: NonNegative = 1.0  # weight of the regions' term, relative to the cells'; 0.1 on Pascal VOC
        pixel_memory: Count = 20000  # length of each class's queue of cells
        region_memory: Count = 2000  # length of each class's queue of regions
        pixel_contrast: Count = 4096  # cells compared with in one iteration, from the queues of all classes together
        region_contrast: Count = 1024  # regions compared with in one iteration, from the queues of all classes together
        cells_per_class: Count = 16  # largest number of cells kept of one class in one image
        as_released: bool = False  # keep the first cells of the image, whatever their class;
        # the released code does so, although it means cells of the class, and the published numbers include this

        @model_validator(mode="after")
        def _fits_the_memory(self) -> "CIRKDMemory.Params":
            if self.pixel_memory < self.cells_per_class:
                raise ValueError(f"pixel_memory {self.pixel_memory} is smaller than cells_per_class; raise it")
            return self

    params: Params

    pixels: Tensor
    regions: Tensor
    pixel_position: Tensor
    region_position: Tensor

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        wide = teacher.head_channels
        self.project = nn.Sequential(
            nn.Conv2d(student.head_channels, wide, kernel_size=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, kernel_size=1, bias=False),
        )
        # The number drawn from the queues of each class, as in the authors' trainer.
        self.drawn = {name: getattr(params, f"{name}_contrast") // student.classes + 1 for name in ("pixel", "region")}
        for name, drawn in self.drawn.items():
            length = getattr(params, f"{name}_memory")
            if length < drawn:
                raise ParamsError(
                    f"methods.cirkd_memory: {name}_memory {length} is smaller than the {drawn} drawn at once; raise it"
                )
            self.register_buffer(f"{name}s", F.normalize(torch.randn(student.classes, length, wide), dim=2))
            self.register_buffer(f"{name}_position", torch.zeros(student.classes, dtype=torch.int64))

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        pixel, region = self.terms(student.head_features, teacher.head_features, labels, *self.select(labels))
        return pixel + self.params.region_share * region

    def select(self, labels: CellLabels) -> tuple[Tensor, Tensor, Tensor]:
        """Draw columns of both queues to compare with, and a rank for each cell; the highest of a class are kept."""
        device = labels.device
        # Every process keeps the same cells of all processes, so that their queues stay equal.
        ranks = broadcast_from_first(torch.rand(all_gather(labels).flatten(1).shape, device=device))
        return (
            torch.randperm(self.pixels.shape[1], device=device)[: self.drawn["pixel"]],
            torch.randperm(self.regions.shape[1], device=device)[: self.drawn["region"]],
            ranks,
        )

    def terms(
        self, student: Maps, teacher: TeacherMaps, labels: CellLabels,
        pixel_columns: Int64[Tensor, " p"], region_columns: Int64[Tensor, " r"], ranks: Float[Tensor, "n cells"],
    ) -> tuple[Scalar, Scalar]:  # fmt: skip
        """Return the terms of the cells and of the regions for what `select` drew; also fill the queues."""
        direction = F.normalize(teacher.to(self.pixels.dtype), dim=1)
        self._remember(all_gather(direction), all_gather(labels), ranks)
        labelled = (labels.flatten() != IGNORE_INDEX).to(direction.dtype)  # a factor, as selecting makes the host wait
        anchors = self.project(student).transpose(0, 1).flatten(1).T
        seen = direction.transpose(0, 1).flatten(1).T
        cells = mean_over_processes(labelled.sum()).clamp(min=1)  # for a share of the mean over all processes
        memories = self.pixels[:, pixel_columns], self.regions[:, region_columns]
        totals = [
            memory_divergence(anchors, seen, labelled, m.flatten(0, 1), self.params.temperature) for m in memories
        ]
        return totals[0] / cells, totals[1] / cells

    @torch.no_grad()
    @at_least_float32
    def _remember(self, direction: TeacherMaps, labels: CellLabels, ranks: Float[Tensor, "n cells"]) -> None:
        """Fill the queues image by image, all classes at once, without a wait for their numbers of cells."""
        classes = torch.arange(len(self.pixels), device=labels.device)
        has = labels.flatten(1)[:, None] == classes[:, None]  # n k cells
        counts = has.sum(dim=2)
        kept = min(self.params.cells_per_class, has.shape[2])
        chosen = torch.where(has, ranks[:, None], -torch.inf).topk(kept, dim=2).indices
        if self.params.as_released:  # the cell's number among the cells of its class
            chosen = has.cumsum(dim=2).gather(2, chosen).sub(1).clamp(min=0)
        cells = direction.flatten(2).transpose(1, 2)  # n cells b
        sums = has.to(cells.dtype) @ cells
        for image, count in enumerate(counts):
            _push(self.regions, self.region_position, F.normalize(sums[image], dim=1)[:, None], count.clamp(max=1))
            _push(
                self.pixels, self.pixel_position, F.normalize(cells[image][chosen[image]], dim=2), count.clamp(max=kept)
            )


def _push(
    queues: Float[Tensor, "k length b"], position: Int64[Tensor, " k"], rows: Float[Tensor, "k r b"],
    count: Int64[Tensor, " k"],
) -> None:  # fmt: skip
    """Write each class's first `count` rows at its position.

    Rows that reach beyond the end of the queue take its last places, and the position returns to 0.
    """
    length, number = queues.shape[1], torch.arange(rows.shape[1], device=rows.device)
    end = (position + count).clamp(max=length)
    places = ((end - count)[:, None] + number) % length
    places = places[..., None].expand_as(rows)
    wanted = (number < count[:, None])[..., None]
    queues.scatter_(1, places, torch.where(wanted, rows, queues.gather(1, places)))
    position.copy_(torch.where(end < length, end, 0))


@at_least_float32
def memory_divergence(
    student: Cells, teacher: Cells, weights: Float[Tensor, " cells"], memory: Float[Tensor, "m b"], temperature: float
) -> Scalar:
    """Return the weighted sum over cells of KL(teacher || student) between softmaxes of similarities to the memory."""
    directions = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    return _DivergenceSum.apply(*directions, weights, memory, temperature)  # type: ignore[reportReturnType]


class _DivergenceSum(torch.autograd.Function):
    """Computes loss and gradient for some cells at a time: the similarities of all would take tens of gigabytes."""

    @staticmethod
    def forward(
        ctx: Any, student: Cells, teacher: Cells, weights: Tensor, memory: Tensor, temperature: float
    ) -> Tensor:
        total, gradient = student.new_zeros(()), torch.empty_like(student)
        parts = (cells.split(CELLS_AT_ONCE) for cells in (student, teacher, weights, gradient))
        for *directions, weight, of_part in zip(*parts, strict=True):
            ours, theirs = (F.log_softmax(cells @ memory.T / temperature, dim=1) for cells in directions)
            probability = theirs.exp()
            total += weight @ (probability * (theirs - ours)).sum(dim=1)
            of_part.copy_(weight[:, None] * ((ours.exp() - probability) @ memory) / temperature)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, of_total: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[reportIncompatibleMethodOverride]
        return of_total * ctx.saved_tensors[0], None, None, None, None
