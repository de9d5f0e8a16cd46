"""What curation found, in numbers: the content of statistics.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.curation.duplicates import NearPair, SplitPair
from pipeline.curation.rules import Finding
from pipeline.data.samples import SPLITS, Sample
from pipeline.params.curation import RULE_NAMES

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
    policies: dict[str, str]  # of each rule
    distance: float  # cosine distance below which two images of different splits are one
    samples: list[Sample]  # all that were looked at
    found: list[Finding]
    near_duplicates: list[NearPair]  # within splits
    split_pairs: list[SplitPair]  # as found, before any leaking sample was dropped
    splits: dict[str, SplitStatistics]  # every split of the prepared dataset, also one that lost all its samples

    @property
    def dropped(self) -> list[Finding]:
        """The first reason of each sample that is left out, in the order of the samples."""
        first: dict[str, Finding] = {}
        for finding in self.found:
            if finding.policy == "drop" and finding.sample is not None:
                first.setdefault(finding.sample.id, finding)
        return [first[sample.id] for sample in self.samples if sample.id in first]


def split_statistics(
    kept: Sequence[Sample], labelled: Mapping[str, np.ndarray], sizes: Mapping[str, int], split: str, class_count: int
) -> SplitStatistics:
    """Statistics of one split.

    Args:
        labelled: pixels of each class, int64 (k,), by sample id.
        sizes: pixels of the mask, by sample id; none of an unlabelled sample.
    """
    samples = [sample for sample in kept if sample.split == split]
    per_class = np.array([labelled[sample.id] for sample in samples], dtype=np.int64).reshape(-1, class_count)
    return SplitStatistics(
        samples=len(samples),
        sequences=len({sample.sequence for sample in samples}),
        pixels=per_class.sum(axis=0).tolist(),
        void_pixels=sum(sizes.get(sample.id, 0) for sample in samples) - int(per_class.sum()),
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


def found_per_rule(findings: Findings) -> dict[str, int]:
    """How often each rule found something."""
    counts = Counter(finding.rule for finding in findings.found)
    return {rule: counts[rule] for rule in RULE_NAMES}


def rejected_per_rule(findings: Findings) -> dict[str, int]:
    """How many samples each rule left out, by the first reason of each."""
    counts = Counter(finding.rule for finding in findings.dropped)
    return {rule: counts[rule] for rule in RULE_NAMES}


def statistics_json(findings: Findings) -> dict[str, Any]:
    """The content of statistics.json. Distances are cosine distances of thumbnails, 0..2."""
    return {
        "classes": findings.class_names,
        "splits": {split: statistics._asdict() for split, statistics in findings.splits.items()},
        "policies": findings.policies,
        "found": found_per_rule(findings),
        "rejected": rejected_per_rule(findings),
        "leakage": {
            "policy": findings.policies["leakage"],
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
