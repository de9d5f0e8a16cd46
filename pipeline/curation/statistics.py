"""What curation found, in numbers: the content of statistics.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.curation.duplicates import NearPair, SplitPair
from pipeline.curation.rules import RULES, Rejection
from pipeline.data.classes import IGNORE_INDEX
from pipeline.data.samples import SPLITS, Sample

REASONS = (*RULES, "exact_duplicate", "leakage")
"""Everything a sample can be rejected for, in the order in which it is looked for."""

NEAREST = 20
"""How many of the nearest pairs across splits are listed, so that a distance can be judged by eye."""


class SplitStatistics(NamedTuple):
    """Of the samples that are kept; lists have one entry per class, in train-id order."""

    samples: int
    sequences: int
    pixels: list[int]
    void_pixels: int
    samples_with_class: list[int]


class Findings(NamedTuple):
    """All that curation has to say about a dataset."""

    class_names: list[str]
    policy: str  # for leakage: block, drop or warn
    distance: float  # cosine distance below which two images are one
    rejections: list[Rejection]
    split_pairs: list[SplitPair]  # as found, before any leaking sample was dropped
    splits: dict[str, SplitStatistics]  # every split of the prepared dataset, also one that lost all its samples


def split_statistics(
    kept: Sequence[Sample], pixels: Mapping[str, np.ndarray], split: str, class_count: int
) -> SplitStatistics:
    """Statistics of one split; `pixels` has the pixels of each train id, int64 (256,), by sample id."""
    samples = [sample for sample in kept if sample.split == split]
    counts = np.array([pixels[sample.id] for sample in samples], dtype=np.int64).reshape(len(samples), 256)
    per_class = counts[:, :class_count]
    return SplitStatistics(
        samples=len(samples),
        sequences=len({sample.sequence for sample in samples}),
        pixels=per_class.sum(axis=0).tolist(),
        void_pixels=int(counts[:, IGNORE_INDEX].sum()),
        samples_with_class=(per_class > 0).sum(axis=0).tolist(),
    )


def affected_samples(split_pairs: Sequence[SplitPair]) -> dict[str, int]:
    """For all splits but the first: how many samples have a near-duplicate in an earlier split."""
    leaking: dict[str, set[str]] = {}
    for pair in split_pairs:
        leaking.setdefault(pair.later, set()).update(near.later for near in pair.leaking)
    return {split: len(leaking[split]) for split in SPLITS if split in leaking}


def nearest_pairs(split_pairs: Sequence[SplitPair]) -> list[NearPair]:
    """The nearest pairs across all splits, at most NEAREST."""
    return sorted((near for pair in split_pairs for near in pair.nearest), key=lambda near: near.distance)[:NEAREST]


def rejected_per_rule(rejections: Sequence[Rejection]) -> dict[str, int]:
    counts = Counter(rejection.rule for rejection in rejections)
    return {rule: counts[rule] for rule in REASONS}


def statistics_json(findings: Findings) -> dict[str, Any]:
    """The content of statistics.json. Distances are cosine distances of thumbnails, 0..2."""
    return {
        "classes": findings.class_names,
        "splits": {split: statistics._asdict() for split, statistics in findings.splits.items()},
        "rejected": rejected_per_rule(findings.rejections),
        "leakage": {
            "policy": findings.policy,
            "distance": findings.distance,
            "pairs": {pair.name: pair.pair_count for pair in findings.split_pairs},
            "evaluation_samples_affected": affected_samples(findings.split_pairs),
            "shared_sequences": {pair.name: pair.shared_sequences for pair in findings.split_pairs},
            "nearest": [
                {"a": near.earlier, "b": near.later, "distance": near.distance}
                for near in nearest_pairs(findings.split_pairs)
            ],
        },
    }
