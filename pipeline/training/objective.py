"""What is minimized: an objective turns a batch into a loss."""

from abc import ABC, abstractmethod
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
from pipeline.params.training import TrainingParams
from pipeline.training.processes import mean_over_processes


class Loss(NamedTuple):
    """`total` is differentiated, or its two summands apart; `terms` (its parts) and `metrics` are only logged."""

    task: Float[Tensor, ""]  # of the main and of the auxiliary head
    distill: Float[Tensor, ""] | None  # weighted; None where there is no teacher
    terms: dict[str, Tensor]
    metrics: dict[str, Tensor]

    def detached(self) -> "Loss":
        distill = None if self.distill is None else self.distill.detach()
        return self._replace(task=self.task.detach(), distill=distill)

    @property
    def total(self) -> Float[Tensor, ""]:
        return self.task if self.distill is None else self.task + self.distill


class Task(NamedTuple):
    """How labels are learned from, by teachers and students alike."""

    auxiliary_weight: float
    mean: str  # of `cross_entropy`
    class_weights: Float[Tensor, " k"] | None  # None: all pixels count alike
    image_scale: float  # of the crops, 1 = native size

    @classmethod
    def of(cls, training: TrainingParams, class_weights: Float[Tensor, " k"] | None) -> "Task":
        return cls(training.auxiliary_weight, training.cross_entropy_mean, class_weights, training.image_scale)


class Objective(nn.Module, ABC):
    """What a training minimizes over all parameters that ask for a gradient."""

    @abstractmethod
    def forward(
        self, image: UInt8[Tensor, "n 3 H W"], labels: UInt8[Tensor, "n H W"], distortion: Float[Tensor, "n 4"]
    ) -> Loss:
        """RGB as it comes from a file, train ids, and what `distort` takes."""

    @abstractmethod
    def grad_clip_groups(self) -> tuple[nn.Module, ...]:
        """Parts whose gradient norm is clipped each for itself; together they hold all that is trained."""


class SupervisedObjective(Objective):
    """Cross-entropy of the main and the auxiliary head: how teachers and baselines are trained."""

    class_weights: Tensor | None

    def __init__(self, network: Segmenter, task: Task):
        super().__init__()
        self.network = network
        self.task = task
        self.register_buffer("class_weights", task.class_weights, persistent=False)

    def forward(
        self, image: UInt8[Tensor, "n 3 H W"], labels: UInt8[Tensor, "n H W"], distortion: Float[Tensor, "n 4"]
    ) -> Loss:
        return self.compare(distort(network_input(image), distortion), labels.long())

    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Int64[Tensor, "n H W"]) -> Loss:
        return self.task_loss(self.network(image, self.task.image_scale), labels)

    def grad_clip_groups(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def task_loss(self, output: SegmentationOutput, labels: Int64[Tensor, "n H W"]) -> Loss:
        task = cross_entropy(output.logits, labels, self.task.mean, self.class_weights)
        if output.auxiliary_logits is None:
            return Loss(task, None, {"task": task.detach()}, {})
        found = cross_entropy(output.auxiliary_logits, labels, self.task.mean, self.class_weights)
        auxiliary = self.task.auxiliary_weight * found
        return Loss(task + auxiliary, None, {"task": task.detach(), "auxiliary": auxiliary.detach()}, {})


def cross_entropy(
    logits: Float[Tensor, "n k h w"],
    labels: Int64[Tensor, "n H W"],
    mean: str,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of logits upsampled to the labels' size; unlabelled pixels contribute nothing.

    Args:
        mean: `all_pixels` divides by the number of all pixels, as mmseg 0.20 does (so a crop that is half unlabelled
            weighs half); `labelled_pixels` divides by the labelled ones, as PyTorch does (0 where there are none).
        class_weights: of a labelled pixel's class; the mean is still taken over pixels.
    """
    scores = bilinear(logits.to(torch.promote_types(logits.dtype, torch.float32)), *labels.shape[-2:])
    # Summed here: PyTorch's own sum over pixels has another order in every run on a GPU.
    total = F.cross_entropy(scores, labels, class_weights, ignore_index=IGNORE_INDEX, reduction="none").sum()
    if mean == "all_pixels":
        return total / labels.numel()
    labelled = mean_over_processes((labels != IGNORE_INDEX).sum().to(total.dtype))
    return total / labelled.clamp(min=1)
