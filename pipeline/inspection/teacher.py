"""The teacher as a witness: not only which class it sees in each pixel, but how sure it is, and of what."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.resize import bilinear
from pipeline.data.dataset import network_input
from pipeline.inspection.mistakes import Opinion
from pipeline.inspection.records import InspectionError
from pipeline.inspection.scores import relative_entropy


class Sight(NamedTuple):
    """What the teacher sees in one image."""

    opinion: Opinion
    entropy: np.ndarray  # float32 (H, W), 0..1
    embedding: np.ndarray  # float32 (c,) of length 1: the mean of its head features


class Teacher:
    """A checkpoint in float32, on the GPU where there is one."""

    def __init__(self, checkpoint: Path, class_names: Sequence[str], threads: int):
        torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        segmenter, design, _ = load_checkpoint(checkpoint)
        if list(design.class_names) != list(class_names):
            raise InspectionError(
                f"{checkpoint} was trained for the classes {', '.join(design.class_names)}; the dataset has "
                f"{', '.join(class_names)}. Run `dvc repro` to train it again"
            )
        segmenter.auxiliary_head = None
        self.segmenter = segmenter.to(memory_format=torch.channels_last).to(self.device)  # type: ignore[reportCallIssue]

    @torch.inference_mode()
    def look(self, images: UInt8[Tensor, "n 3 H W"], labels: Sequence[np.ndarray]) -> Iterator[Sight]:
        """Look at images of one size, of which `labels` are the train ids, uint8 (H, W).

        The cells of all images pass through the network at once; what is as large as an image is made one by one.
        """
        output = self.segmenter(network_input(images.to(self.device)))
        for cells, features, of_image in zip(output.logits, output.head_features, labels, strict=True):
            logits = bilinear(cells[None].float(), *images.shape[-2:])[0]
            embedding = F.normalize(features.float().mean(dim=(1, 2)), dim=0)
            opinion = opinion_of(logits, torch.from_numpy(of_image).to(self.device))
            yield Sight(opinion, relative_entropy(logits).cpu().numpy(), embedding.cpu().numpy())


def opinion_of(logits: Float[Tensor, "k H W"], labels: UInt8[Tensor, "H W"]) -> Opinion:
    """The most likely class of each pixel, its probability and that of the label."""
    probabilities = logits.softmax(dim=0)
    confidence, prediction = probabilities.max(dim=0)
    # An unlabelled pixel has no such probability; any stands in.
    label_probability = probabilities.gather(0, labels.long().clamp(max=len(logits) - 1)[None])[0]
    maps = (prediction.to(torch.uint8), confidence, label_probability)
    return Opinion(*(values.cpu().numpy() for values in maps))
