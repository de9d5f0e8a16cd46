"""Apply all rules to measured samples, and count the findings. This module reads and writes no files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.curation.duplicates import Fingerprint, SplitPair, compare_splits
from pipeline.curation.rule import Finding, all_rules, apply_rule
from pipeline.curation.sample_rules import Case, check_sample
from pipeline.data.classes import ClassTable
from pipeline.data.samples import SPLITS, Sample
from pipeline.records.curation import Leakage, NearestPair, SplitStatistics, Statistics

NEAREST = 20  # nearest pairs across splits that are listed, so that a person can check the limit by eye


class Findings(NamedTuple):
    samples: list[Sample]  # all samples that were checked
    found: list[Finding]
    split_pairs: list[SplitPair]  # as found, before any leaking sample was dropped
    statistics: Statistics


def examine(cases: Sequence[Case], classes: ClassTable, training_splits: Sequence[str], rules: Any) -> Findings:
    """Apply all rules; `rules` has an attribute with the parameters of each rule."""
    found = [finding for case in cases for finding in check_sample(case, rules)]

    def check(rule: str, *subject: object) -> list[Finding]:
        policy = getattr(rules, rule).policy
        found.extend(new := [Finding(rule, policy, *about) for about in apply_rule(rule, rules, *subject)])
        return new

    left_out = drops(found)
    fingerprints = [
        Fingerprint(c.sample, c.image.digest, c.mask.digest if c.mask else "", c.image.thumbnail)
        for c in cases
        if c.image and c.sample.id not in left_out
    ]
    copies = {finding.sample for finding in check("exact_duplicate", fingerprints)}
    fingerprints = [f for f in fingerprints if f.sample not in copies]
    split_pairs = compare_splits(fingerprints, rules.leakage.below)
    check("leakage", split_pairs)
    check("shared_sequence", split_pairs, [f.sample for f in fingerprints])
    check("near_duplicate", fingerprints)

    left_out = drops(found)
    kept = {
        split: [case for case in members if case.sample.id not in left_out]
        for split in SPLITS
        if (members := [case for case in cases if case.sample.split == split])
    }
    splits = {split: _split_statistics(members, len(classes.classes)) for split, members in kept.items()}
    raw_ids = {split: _raw_id_pixels(members) for split, members in kept.items()}
    check("untrained_class", {split: raw_ids[split] for split in training_splits if split in raw_ids}, classes)
    check("frequent_void", np.sum(list(raw_ids.values()), axis=0), classes)
    check("missing_class", splits, classes.names)
    check("class_imbalance", splits, classes.names)
    policies = {name: getattr(rules, name).policy for name in all_rules()}
    numbers = statistics(classes.names, splits, policies, found, split_pairs, rules.leakage.below)
    return Findings([case.sample for case in cases], found, split_pairs, numbers)


def drops(found: Iterable[Finding]) -> dict[str, Finding]:
    """Return, by sample id, the first finding that drops the sample."""
    first: dict[str, Finding] = {}
    for finding in found:
        if finding.policy == "drop" and finding.sample is not None:
            first.setdefault(finding.sample.id, finding)
    return first


def statistics(
    classes: list[str], splits: dict[str, SplitStatistics], policies: dict[str, str], found: Sequence[Finding],
    split_pairs: Sequence[SplitPair], distance: float,
) -> Statistics:  # fmt: skip
    """Return the content of statistics.json; `distance` is the limit for near-duplicates across splits."""
    findings = Counter(finding.rule for finding in found)
    rejected = Counter(finding.rule for finding in drops(found).values())
    leaking: dict[str, set[Sample]] = {}  # samples of a split with a near-duplicate in an earlier one
    for pair in split_pairs:
        leaking.setdefault(pair.later, set()).update(near.later for near in pair.leaking)
    nearest = sorted((near for pair in split_pairs for near in pair.nearest), key=lambda near: near.distance)
    return Statistics(
        classes=classes,
        splits=splits,
        policies=policies,
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


def _raw_id_pixels(kept: Sequence[Case]) -> np.ndarray:
    """Count the pixels of each raw id, int64 (256,)."""
    return sum((case.mask.pixels for case in kept if case.mask), np.zeros(256, dtype=np.int64))


def _split_statistics(kept: Sequence[Case], class_count: int) -> SplitStatistics:
    per_class = np.array([case.labelled for case in kept], dtype=np.int64).reshape(-1, class_count)
    return SplitStatistics(
        samples=len(kept),
        sequences=len({case.sample.sequence for case in kept}),
        pixels=per_class.sum(axis=0).tolist(),
        void_pixels=sum(case.pixels for case in kept) - int(per_class.sum()),
        samples_with_class=(per_class > 0).sum(axis=0).tolist(),
    )
