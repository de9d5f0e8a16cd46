"""What curation found, in numbers: the content of statistics.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.curation.duplicates import NearPair, SplitPair
from pipeline.curation.rule import Finding
from pipeline.data.samples import SPLITS, Sample
from pipeline.records.curation import Leakage, NearestPair, SplitStatistics, Statistics

NEAREST = 20
"""How many of the nearest pairs across splits are listed, so that a distance can be judged by eye."""


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
    return {rule: counts[rule] for rule in findings.policies}


def rejected_per_rule(findings: Findings) -> dict[str, int]:
    """How many samples each rule left out, by the first reason of each."""
    counts = Counter(finding.rule for finding in findings.dropped)
    return {rule: counts[rule] for rule in findings.policies}


def statistics(findings: Findings) -> Statistics:
    """Return the content of statistics.json."""
    pairs = findings.split_pairs
    return Statistics(
        classes=list(findings.class_names),
        splits=dict(findings.splits),
        policies=dict(findings.policies),
        found=found_per_rule(findings),
        rejected=rejected_per_rule(findings),
        leakage=Leakage(
            policy=findings.policies["leakage"],
            distance=findings.distance,
            pairs={pair.name: pair.pair_count for pair in pairs},
            evaluation_samples_affected=affected_samples(pairs),
            shared_sequences={pair.name: list(pair.shared_sequences) for pair in pairs},
            nearest=[
                NearestPair(a=near.earlier, b=near.later, distance=near.distance) for near in nearest_pairs(pairs)
            ],
        ),
    )
