"""Objectives: what training minimizes. An objective computes the loss of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from models.resize import bilinear
from models.segmenter import SegmentationOutput, Segmenter
from pipeline.data.augmentation import distort
from pipeline.data.classes import IGNORE_INDEX
from pipeline.data.dataset import network_input
from pipeline.errors import ArtifactError
from pipeline.params.training import TrainingParams
from pipeline.records.curation import Statistics
from pipeline.records.files import read_record
from pipeline.training.processes import mean_over_processes


class Loss(NamedTuple):
    """Loss of a batch: `total` is differentiated, or its two summands separately; the other fields are only logged."""

    task: Float[Tensor, ""]  # loss of the main and the auxiliary head
    distill: Float[Tensor, ""] | None  # weighted; None without a teacher
    terms: dict[str, Tensor]  # the parts of `total`
    metrics: dict[str, Tensor]

    def detached(self) -> "Loss":
        distill = None if self.distill is None else self.distill.detach()
        return self._replace(task=self.task.detach(), distill=distill)

    @property
    def total(self) -> Float[Tensor, ""]:
        return self.task if self.distill is None else self.task + self.distill


class Task(NamedTuple):
    """Settings of the loss on labels, the same for teachers and students."""

    auxiliary_weight: float
    mean: str  # argument of `cross_entropy`
    class_weights: Float[Tensor, " k"] | None  # None: all pixels count the same
    image_scale: float  # of the crops, 1 = native size

    @classmethod
    def of(cls, training: TrainingParams, class_weights: Float[Tensor, " k"] | None) -> "Task":
        return cls(training.auxiliary_weight, training.cross_entropy_mean, class_weights, training.image_scale)


class Objective(nn.Module, ABC):
    """A loss that training minimizes over all parameters that require a gradient."""

    def forward(
        self, image: UInt8[Tensor, "n 3 H W"], labels: UInt8[Tensor, "n H W"], distortion: Float[Tensor, "n 4"]
    ) -> Loss:
        """Return the loss for RGB as read from a file, train ids, and the values that `distort` takes."""
        return self.compare(distort(network_input(image), distortion), labels.long())

    @abstractmethod
    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Int64[Tensor, "n H W"]) -> Loss:
        """Return the loss for RGB in 0..1."""

    def divide(self, shares: int) -> None:
        """Take note of the number of shares of each batch: the processes times the parts of `accumulate`."""

    def advance(self) -> None:
        """Take note that an update is done: schedules count updates, not calls of `forward`."""

    def grad_clip_groups(self) -> list[nn.Module]:
        """Return the parts whose gradient norms are clipped separately; together they hold all trained parameters."""
        return [part for part in self.children() if any(parameter.requires_grad for parameter in part.parameters())]


class SupervisedObjective(Objective):
    """Cross-entropy of the main and the auxiliary head, for teachers and baselines."""

    class_weights: Tensor | None

    def __init__(self, network: Segmenter, task: Task):
        super().__init__()
        self.network = network
        self.task = task
        self.register_buffer("class_weights", task.class_weights, persistent=False)

    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Int64[Tensor, "n H W"]) -> Loss:
        return self.task_loss(self.network(image, self.task.image_scale), labels)

    def task_loss(self, output: SegmentationOutput, labels: Int64[Tensor, "n H W"]) -> Loss:
        task = cross_entropy(output.logits, labels, self.task.mean, self.class_weights)
        if output.auxiliary_logits is None:
            return Loss(task, None, {"task": task.detach()}, {})
        found = cross_entropy(output.auxiliary_logits, labels, self.task.mean, self.class_weights)
        auxiliary = self.task.auxiliary_weight * found
        return Loss(task + auxiliary, None, {"task": task.detach(), "auxiliary": auxiliary.detach()}, {})


def cross_entropy(
    logits: Float[Tensor, "n k h w"], labels: Int64[Tensor, "n H W"], mean: str,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:  # fmt: skip
    """Return the cross-entropy of logits upsampled to the labels' size; unlabelled pixels contribute nothing.

    `all_pixels` divides by the number of all pixels, as mmseg 0.20 does, so a crop that is half unlabelled weighs half.
    `labelled_pixels` divides by the number of labelled pixels, as PyTorch does; without any, the result is 0.
    """
    scores = bilinear(logits.to(torch.promote_types(logits.dtype, torch.float32)), *labels.shape[-2:])
    # Summed here, because PyTorch's own sum over pixels has another order in every run on a GPU.
    total = F.cross_entropy(scores, labels, class_weights, ignore_index=IGNORE_INDEX, reduction="none").sum()
    if mean == "all_pixels":
        return total / labels.numel()
    labelled = mean_over_processes((labels != IGNORE_INDEX).sum().to(total.dtype))
    return total / labelled.clamp(min=1)


def class_weights(pixels: Sequence[int], power: float) -> Float[Tensor, " k"]:
    """Return weights proportional to frequency ** -power, scaled so that a labelled pixel counts 1 on average.

    So the loss keeps its size, and its balance with a distillation weight. A class that never occurs has weight 1.
    With power 0 all pixels count the same; with 1 all classes do, as in Eigen and Fergus (arXiv 1411.4734).
    """
    counts = torch.tensor(pixels, dtype=torch.float64)
    occurs = counts > 0
    raw = counts[occurs] ** -power
    weights = torch.ones_like(counts)
    weights[occurs] = raw * counts.sum() / (counts[occurs] * raw).sum()
    return weights.float()


def load_class_weights(
    statistics: Path, class_names: Sequence[str], training: TrainingParams
) -> Float[Tensor, " k"] | None:
    """Return the class weights from curation's pixel counts in the training splits; None if `class_balance` is 0.

    The counts follow from the sample list and the class table, so the hashes of those two identify them. Raises
    ArtifactError if the counts do not fit the classes or the splits.
    """
    if not training.class_balance:
        return None
    found = read_record(Statistics, statistics, "curate")
    splits = [found.splits[split].pixels for split in training.splits if split in found.splits]
    known = found.classes == list(class_names) and len(splits) == len(training.splits)
    possible = all(len(pixels) == len(class_names) and all(0 <= n < 2**53 for n in pixels) for pixels in splits)
    if not known or not possible or not any(map(any, splits)):
        raise ArtifactError(
            f"{statistics} has no counts of the classes {list(class_names)} in {', '.join(training.splits)}, but of "
            f"{found.classes} in {', '.join(found.splits)}; run stage curate: dvc repro"
        )
    return class_weights(list(map(sum, zip(*splits, strict=True))), training.class_balance)
