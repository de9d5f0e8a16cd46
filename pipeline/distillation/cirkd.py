"""Cross-Image Relational Knowledge Distillation (CIRKD), arXiv 2204.06986, the version of CVPR 2022."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.cells import labels_at_cells
from pipeline.distillation.precision import at_least_float32
from pipeline.training.processes import drawn_by_the_first, gathered, mean_over_processes


class PixelToPixel(nn.Module):
    """How similar a cell is to all cells of another image has to be as in the teacher; channels may differ in number.

    Args:
        temperature: of the similarities; the authors use 0.1.
        group: images that are compared with each other. The authors' is what lies on one GPU: 2. Memory grows with
            its square.
    """

    def __init__(self, temperature: float, group: int):
        super().__init__()
        self.temperature = temperature
        self.group = group

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        groups = zip(student.head_features.split(self.group), teacher.head_features.split(self.group), strict=True)
        losses = [len(s) * cross_image_divergence(s, t, self.temperature) for s, t in groups]
        return torch.stack(losses).sum() / len(student.head_features)


@at_least_float32
def cross_image_divergence(
    student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n b h w"], temperature: float
) -> Float[Tensor, ""]:
    """KL(teacher || student) of each cell's similarities to the cells of one image, averaged over cells and pairs.

    All ordered pairs of images count, an image with itself too.
    """
    log_student, log_teacher = (_log_similarities(features, temperature) for features in (student, teacher))
    rows = log_student.numel() / log_student.shape[-1]
    return F.kl_div(log_student, log_teacher, log_target=True, reduction="sum") / rows


def _log_similarities(features: Float[Tensor, "n c h w"], temperature: float) -> Float[Tensor, "n n cells cells"]:
    direction = F.normalize(features.flatten(2), dim=1)
    return F.log_softmax(torch.einsum("icm,jcl->ijml", direction, direction) / temperature, dim=-1)


class MemoryDraws(NamedTuple):
    """What is random in one call."""

    pixel_columns: Int64[Tensor, " pixels"]  # of every class's queue, that serve as contrast
    region_columns: Int64[Tensor, " regions"]
    order: list[Int64[Tensor, " members"]]  # for each (image of all processes, class that occurs): which cells are kept


class PixelToMemory(nn.Module):
    """How similar a cell is to what was seen of all classes in earlier images has to be as in the teacher.

    Two queues for each class hold the teacher's directions: of single cells, and of the means of classes in images.
    They are filled before the losses are taken.

    Args:
        temperature: of the similarities; the authors use 0.1.
        region_share: weight of the term of the regions, that of the cells being 1; the authors use 1, on VOC 0.1.
        pixel_memory, region_memory: length of the queues of each class; 20000 and 2000.
        pixel_contrast, region_contrast: how many of each queue one call compares with; 4096 and 1024.
        cells_per_class: at most so many cells of a class and image are kept; 16.
        as_released: the released code keeps the first cells of the image, of whatever class, where it means cells of
            the class: its published numbers include that. False keeps cells of the class.
    """

    pixels: Tensor
    regions: Tensor
    pixel_position: Tensor
    region_position: Tensor

    def __init__(
        self, student_channels: int, teacher_channels: int, classes: int, temperature: float, region_share: float,
        pixel_memory: int, region_memory: int, pixel_contrast: int, region_contrast: int, cells_per_class: int,
        as_released: bool,
    ):  # fmt: skip
        super().__init__()
        self.temperature = temperature
        self.region_share = region_share
        self.pixel_contrast = pixel_contrast
        self.region_contrast = region_contrast
        self.cells_per_class = cells_per_class
        self.as_released = as_released
        self.project = nn.Sequential(
            nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(teacher_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher_channels, teacher_channels, kernel_size=1, bias=False),
        )
        for name, length in (("pixels", pixel_memory), ("regions", region_memory)):
            self.register_buffer(name, F.normalize(torch.randn(classes, length, teacher_channels), dim=2))
        for name in ("pixel_position", "region_position"):
            self.register_buffer(name, torch.zeros(classes, dtype=torch.int64))

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        at_cells = labels_at_cells(labels, *teacher.head_features.shape[-2:])
        pixel, region = self.terms(student.head_features, teacher.head_features, at_cells, self.draw(at_cells))
        return pixel + self.region_share * region

    def draw(self, labels: Int64[Tensor, "n h w"]) -> MemoryDraws:
        device = labels.device
        lengths = [len(members) for _, _, members in _classes_in(gathered(labels))]
        orders = [torch.randperm(length, device=device) for length in lengths]
        if orders:  # every process keeps the same cells of all processes, so that their queues stay one
            orders = list(drawn_by_the_first(torch.cat(orders)).split(lengths))
        return MemoryDraws(
            torch.randperm(self.pixels.shape[1], device=device)[: self.pixel_contrast],
            torch.randperm(self.regions.shape[1], device=device)[: self.region_contrast],
            orders,
        )

    def terms(
        self,
        student: Float[Tensor, "n c h w"],
        teacher: Float[Tensor, "n b h w"],
        labels: Int64[Tensor, "n h w"],
        draws: MemoryDraws,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The terms of the cells and of the regions for given draws; fills the queues."""
        direction = F.normalize(teacher.to(self.pixels.dtype), dim=1)
        self._remember(gathered(direction), gathered(labels), draws.order)
        labelled = labels.flatten() != IGNORE_INDEX
        anchors = self.project(student).transpose(0, 1).flatten(1).T[labelled]
        seen = direction.transpose(0, 1).flatten(1).T[labelled]
        pixel, region = (
            memory_divergence(anchors, seen, queue[:, columns].flatten(0, 1), self.temperature)
            for queue, columns in ((self.pixels, draws.pixel_columns), (self.regions, draws.region_columns))
        )
        # A mean over this process's cells, as its share of the mean over those of all.
        share = len(anchors) / mean_over_processes(anchors.new_tensor(float(len(anchors)))).clamp(min=1)
        return share * pixel, share * region

    @torch.no_grad()
    def _remember(
        self, direction: Float[Tensor, "n b h w"], labels: Int64[Tensor, "n h w"], order: list[Tensor]
    ) -> None:
        flat = direction.flatten(2)
        for (image, label, members), permutation in zip(_classes_in(labels), order, strict=True):
            chosen = permutation[: self.cells_per_class]
            cells = flat[image][:, chosen if self.as_released else members[chosen]].T
            mean = flat[image][:, members].mean(dim=1, keepdim=True).T
            _push(self.regions[label], self.region_position[label], F.normalize(mean, dim=1))
            _push(self.pixels[label], self.pixel_position[label], F.normalize(cells, dim=1))


def _classes_in(labels: Int64[Tensor, "n h w"]) -> list[tuple[int, int, Int64[Tensor, " members"]]]:
    """Image, class and the class's cells, for every class of every image, in ascending order."""
    return [
        (image, label, (of_image == label).nonzero()[:, 0])
        for image, of_image in enumerate(labels.flatten(1))
        for label in of_image.unique().tolist()
        if label != IGNORE_INDEX
    ]


def _push(queue: Float[Tensor, "length b"], position: Int64[Tensor, ""], rows: Float[Tensor, "new b"]) -> None:
    """Write rows at the position; at the end of the queue they take its last places and the position starts over."""
    start = int(position)
    if start + len(rows) >= len(queue):
        queue[-len(rows) :] = rows
        position.zero_()
    else:
        queue[start : start + len(rows)] = rows
        position += len(rows)


@at_least_float32
def memory_divergence(
    student: Float[Tensor, "cells b"],
    teacher: Float[Tensor, "cells b"],
    memory: Float[Tensor, "entries b"],
    temperature: float,
) -> Float[Tensor, ""]:
    """KL(teacher || student) between softmaxes over the similarities to the memory, averaged over the cells."""
    log_student, log_teacher = (
        F.log_softmax(F.normalize(cells, dim=1) @ memory.T / temperature, dim=1) for cells in (student, teacher)
    )
    return F.kl_div(log_student, log_teacher, log_target=True, reduction="sum") / max(1, len(student))
