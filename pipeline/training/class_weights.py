"""How much a labelled pixel of each class counts in the loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor

from pipeline.errors import ArtifactError
from pipeline.params.training import TrainingParams


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    pixels: list[Annotated[int, Field(ge=0, lt=2**53)]]  # of each class


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """What of curation's statistics.json is read here."""

    classes: list[str]
    splits: dict[str, SplitCounts]


COUNTS = TypeAdapter(ClassCounts)


def class_weights(pixels: Sequence[int], power: float) -> Float[Tensor, " k"]:
    """Weights proportional to frequency ** -power, scaled so that a labelled pixel counts 1 on average.

    So the loss keeps its size, and with it the balance with a distillation weight. A class that never occurs has 1.

    Args:
        pixels: of each class in what is trained on.
        power: 0: every pixel counts alike; 1: every class does, as Eigen and Fergus balance them (arXiv 1411.4734).
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
    """The weights by what curation counted in the splits to train on; None for power 0: then nothing is weighed.

    The counts follow from the sample list, which holds the hashes of the masks, and from the class table: who knows
    those two by their hashes need not know this file's.

    Raises:
        ArtifactError: no such counts, or those of other classes.
    """
    if not training.class_balance:
        return None
    try:
        counts = COUNTS.validate_json(statistics.read_bytes())
        splits = [counts.splits[split].pixels for split in training.splits]
    except (OSError, ValidationError, KeyError) as error:
        raise ArtifactError(
            f"{statistics} has no counts of classes ({str(error).splitlines()[0]}); run stage curate: dvc repro"
        ) from error
    fits = counts.classes == list(class_names) and all(len(pixels) == len(class_names) for pixels in splits)
    if not fits or not any(map(any, splits)):
        raise ArtifactError(
            f"{statistics} counts {counts.classes}, not {list(class_names)}; run stage curate: dvc repro"
        )
    return class_weights(list(map(sum, zip(*splits, strict=True))), training.class_balance)
