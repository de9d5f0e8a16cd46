"""Unlabelled images as further training data, chosen by the teacher, after an idea of KD3 (ICCV 2023).

KD3 trains classifiers on images from the web alone, and lets teacher and student choose them. Here the teacher alone
chooses, before the student is trained.
"""

import math
from collections.abc import Sequence

import torch
from rich.progress import track

from models.segmenter import Segmenter
from pipeline.data.dataset import evaluation_batches, network_input
from pipeline.data.samples import Sample


@torch.no_grad()
def choose_unlabelled(
    samples: Sequence[Sample], teacher: Segmenter, share: float, batch_size: int, device: torch.device
) -> list[Sample]:
    """Return the share of the images that the teacher is surest of, at least one, in the order of the list.

    Sureness is the largest class probability of a cell, averaged over the cells of the whole image.
    """
    teacher.to(device).eval()
    sureness: dict[str, float] = {}
    batches = evaluation_batches(samples, batch_size)
    for batch in track(batches, "choosing unlabelled images", total=math.ceil(len(samples) / batch_size)):
        logits = teacher(network_input(batch.image.to(device))).logits.float()
        surest = logits.softmax(dim=1).amax(dim=1).flatten(1).mean(dim=1)
        sureness.update(zip(batch.ids, surest.tolist(), strict=True))
    surest_first = sorted(sureness, key=lambda sample_id: (-sureness[sample_id], sample_id))
    chosen = set(surest_first[: max(1, round(share * len(samples)))])
    return [sample for sample in samples if sample.id in chosen]
