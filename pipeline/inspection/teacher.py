"""Run the teacher: predict the class of each pixel, its confidence, and the probability of the label."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from models.checkpoint import load_for_inference
from models.resize import bilinear
from pipeline.data.dataset import evaluation_batches, network_input
from pipeline.data.samples import Sample
from pipeline.errors import ArtifactError
from segdistill_runtime.images import Resizing


class TeacherOutput(NamedTuple):
    """The teacher's output for one sample; maps are (H, W)."""

    prediction: np.ndarray  # uint8: the most likely train id
    confidence: np.ndarray  # float32: its probability, 0..1
    label_probability: np.ndarray  # float32: probability of the label, 0..1; arbitrary for unlabelled pixels
    entropy: np.ndarray  # float32, 0..1
    embedding: np.ndarray  # float32 (c,) of length 1: the mean of its head features


class Teacher:
    """A checkpoint in float32, on the GPU if there is one; its images are resized as for the exported graphs."""

    def __init__(self, checkpoint: Path, class_names: Sequence[str], threads: int, resizing: Resizing):
        self.segmenter, design, self.device = load_for_inference(checkpoint, threads)
        if list(design.class_names) != list(class_names):
            raise ArtifactError(
                f"{checkpoint} was trained for the classes {', '.join(design.class_names)}; the dataset has "
                f"{', '.join(class_names)}. Run `dvc repro` to train it again"
            )
        self.segmenter.auxiliary_head = None
        self.resizing = resizing

    def look_at(
        self, samples: Sequence[Sample], batch_size: int, labels_of: Callable[[Sample], np.ndarray]
    ) -> Iterator[tuple[Sample, np.ndarray, TeacherOutput]]:
        """Yield each sample with its labels, train ids uint8 (H, W), and the teacher's output."""
        remaining = iter(samples)
        for batch in evaluation_batches(samples, batch_size):
            members = [next(remaining) for _ in batch.ids]
            labels = [labels_of(sample) for sample in members]
            yield from zip(members, labels, self.predict(batch.image, labels), strict=True)

    @torch.inference_mode()
    def predict(self, images: UInt8[Tensor, "n 3 H W"], labels: Sequence[np.ndarray]) -> Iterator[TeacherOutput]:
        """Predict images of one size; `labels` are their train ids, uint8 (H, W). All maps have that size.

        All images pass through the network at once; maps as large as an image are made one by one.
        """
        height, width = self.resizing.size
        resized = np.stack([self.resizing.apply(image) for image in images.permute(0, 2, 3, 1).numpy()])
        numbers = np.arange(height * width).reshape(height, width)
        source = torch.from_numpy(self.resizing.undo(numbers, *images.shape[-2:])).to(self.device)
        output = self.segmenter(network_input(torch.from_numpy(resized).permute(0, 3, 1, 2).to(self.device)))
        for cells, features, of_image in zip(output.logits, output.head_features, labels, strict=True):
            logits = bilinear(cells[None].float(), height, width)[0]
            embedding = F.normalize(features.float().mean(dim=(1, 2)), dim=0)
            maps = pixel_maps(logits, torch.from_numpy(of_image).to(self.device), source)
            entropy = relative_entropy(logits).flatten()[source]
            yield TeacherOutput(*(values.cpu().numpy() for values in (*maps, entropy, embedding)))


def pixel_maps(
    logits: Float[Tensor, "k h w"], labels: UInt8[Tensor, "H W"], source: Int64[Tensor, "H W"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the most likely class of each pixel of an image, its probability and that of the label.

    Args:
        source: number of each pixel's place in the logits, row by row.
    """
    probabilities = logits.softmax(dim=0).flatten(1)
    confidence, prediction = probabilities.max(dim=0)
    # An unlabelled pixel has no such probability; it gets that of the last class.
    label_probability = probabilities[labels.long().clamp(max=len(logits) - 1), source]
    return prediction.to(torch.uint8)[source], confidence[source], label_probability


def relative_entropy(logits: Float[Tensor, "k H W"]) -> Float[Tensor, "H W"]:
    """Return the entropy of the softmax in each pixel, in units of ln k: 0 (sure) to 1 (all k classes alike)."""
    log_probabilities = logits.log_softmax(dim=0)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=0)
    return entropy / np.log(len(logits))
