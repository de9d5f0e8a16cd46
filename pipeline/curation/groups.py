"""What can be wrong with samples together: copies, leakage between splits, classes that are missing or rare."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.curation.duplicates import Look, NearPair, SplitPair, exact_copies, near_copies
from pipeline.curation.rules import Finding
from pipeline.curation.statistics import SplitStatistics
from pipeline.data.samples import SPLITS, UNLABELLED, Sample
from pipeline.params.curation import DistanceParams, OccurrenceParams, RatioParams, RuleParams


def exact_duplicates(looks: Sequence[Look], samples: Mapping[str, Sample], limits: RuleParams) -> list[Finding]:
    """Within a split, the same pixels and the same mask once more."""
    return [
        Finding("exact_duplicate", limits.policy, samples[copy], f"same pixels and same mask as {original}")
        for copy, original in exact_copies(looks).items()
    ]


def near_duplicates(looks: Sequence[Look], distance: float) -> list[NearPair]:
    """Within each split, the samples that show nothing new, nearest first."""
    by_split = ([look for look in looks if look.split == split] for split in SPLITS)
    pairs = [pair for members in by_split for pair in near_copies(members, distance)]
    return sorted(pairs, key=lambda pair: pair.distance)


def near_duplicate_findings(
    pairs: Iterable[NearPair], samples: Mapping[str, Sample], limits: DistanceParams
) -> list[Finding]:
    return [
        Finding("near_duplicate", limits.policy, samples[near.later], _nearly(near, samples[near.earlier], "the split"))
        for near in pairs
    ]


def leaks(split_pairs: Sequence[SplitPair], samples: Mapping[str, Sample], limits: DistanceParams) -> list[Finding]:
    """Samples of later splits that have a near-duplicate in an earlier one, each once."""
    found: dict[str, Finding] = {}
    for pair in split_pairs:
        for near in pair.leaking:
            reason = _nearly(near, samples[near.earlier], f"split {pair.earlier}")
            found.setdefault(near.later, Finding("leakage", limits.policy, samples[near.later], reason))
    return list(found.values())


def shared_sequences(split_pairs: Sequence[SplitPair], samples: Iterable[Sample], limits: RuleParams) -> list[Finding]:
    """Samples of later splits from a sequence of which an earlier split has frames too, each once."""
    earlier: dict[tuple[str, str], str] = {}
    for pair in split_pairs:
        for sequence in pair.shared_sequences:
            earlier.setdefault((pair.later, sequence), pair.earlier)
    return [
        Finding("shared_sequence", limits.policy, s, f"split {first} has frames of its sequence {s.sequence} too")
        for s in samples
        if (first := earlier.get((s.split, s.sequence))) is not None
    ]


def missing_classes(
    splits: Mapping[str, SplitStatistics], names: Sequence[str], limits: OccurrenceParams
) -> list[Finding]:
    """Classes of which a split shows too little."""
    return [
        Finding(
            "missing_class",
            limits.policy,
            None,
            f"split {split}: no pixel of class {name}; nothing can be said about it there"
            if not count
            else f"split {split}: class {name} occurs in {count} sample(s), fewer than {limits.samples}",
        )
        for split, statistics in splits.items()
        if statistics.samples and split != UNLABELLED
        for name, count in zip(names, statistics.samples_with_class, strict=True)
        if count < limits.samples
    ]


def class_imbalance(splits: Mapping[str, SplitStatistics], names: Sequence[str], limits: RatioParams) -> list[Finding]:
    """Classes of the training split that are rare beside the most frequent one; missing ones are another rule's."""
    pixels = splits["train"].pixels
    most = max(pixels)
    return [
        Finding(
            "class_imbalance",
            limits.policy,
            None,
            f"split train has {most / count:.0f} pixels of {names[pixels.index(most)]} for each one of {name}",
        )
        for name, count in zip(names, pixels, strict=True)
        if count and most / count > limits.above
    ]


def _nearly(near: NearPair, earlier: Sample, where: str) -> str:
    return f"nearly the same image as {earlier.id} of {where} (distance {near.distance:.4f})"
