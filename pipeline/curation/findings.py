"""All that curation has to say about a dataset, and the numbers of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.curation.duplicates import SplitPair
from pipeline.curation.rule import Finding
from pipeline.curation.sample_rules import Case
from pipeline.data.samples import SPLITS, Sample
from pipeline.records.curation import Leakage, NearestPair, SplitStatistics, Statistics

NEAREST = 20
"""How many of the nearest pairs across splits are listed, so that a distance can be judged by eye."""


class Findings(NamedTuple):
    samples: list[Sample]  # all that were looked at
    found: list[Finding]
    split_pairs: list[SplitPair]  # as found, before any leaking sample was dropped
    statistics: Statistics


def drops(found: Iterable[Finding]) -> dict[str, Finding]:
    """Return, by sample id, the first reason of each sample that is left out."""
    first: dict[str, Finding] = {}
    for finding in found:
        if finding.policy == "drop" and finding.sample is not None:
            first.setdefault(finding.sample.id, finding)
    return first


def split_statistics(kept: Sequence[Case], class_count: int) -> SplitStatistics:
    """Count the samples and pixels that are kept of one split."""
    per_class = np.array([case.labelled for case in kept], dtype=np.int64).reshape(-1, class_count)
    return SplitStatistics(
        samples=len(kept),
        sequences=len({case.sample.sequence for case in kept}),
        pixels=per_class.sum(axis=0).tolist(),
        void_pixels=sum(case.pixels for case in kept) - int(per_class.sum()),
        samples_with_class=(per_class > 0).sum(axis=0).tolist(),
    )


def statistics(
    classes: list[str],
    splits: dict[str, SplitStatistics],
    policies: Mapping[str, str],
    found: Sequence[Finding],
    split_pairs: Sequence[SplitPair],
    distance: float,
) -> Statistics:
    """Return the content of statistics.json.

    Args:
        splits: every split of the prepared dataset, also one that lost all its samples.
        policies: of each rule.
        distance: cosine distance below which two images of different splits are one.
    """
    findings = Counter(finding.rule for finding in found)
    rejected = Counter(finding.rule for finding in drops(found).values())
    leaking: dict[str, set[Sample]] = {}  # samples of a split with a near-duplicate in an earlier one
    for pair in split_pairs:
        leaking.setdefault(pair.later, set()).update(near.later for near in pair.leaking)
    nearest = sorted((near for pair in split_pairs for near in pair.nearest), key=lambda near: near.distance)
    return Statistics(
        classes=classes,
        splits=splits,
        policies=dict(policies),
        found={rule: findings[rule] for rule in policies},
        rejected={rule: rejected[rule] for rule in policies},
        leakage=Leakage(
            policy=policies["leakage"],
            distance=distance,
            pairs={pair.name: pair.pair_count for pair in split_pairs},
            evaluation_samples_affected={split: len(leaking[split]) for split in SPLITS if split in leaking},
            shared_sequences={pair.name: pair.shared_sequences for pair in split_pairs},
            nearest=[NearestPair(a=n.earlier.id, b=n.later.id, distance=n.distance) for n in nearest[:NEAREST]],
        ),
    )
