"""Check samples together: copies, leakage between splits, classes that are missing or rare.

A check returns findings: a sample (None for the dataset as a whole), a reason, and for near-duplicates the pair.
`examine` (findings.py) passes each check its arguments.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline.curation.duplicates import Fingerprint, NearPair, SplitPair, near_copies
from pipeline.curation.rule import ABOUT_DATASET, rule
from pipeline.data.classes import ClassTable, id_list
from pipeline.data.samples import UNLABELLED, Sample
from pipeline.params.sections import Count, Fraction, NonNegative, Positive
from pipeline.records.curation import SplitStatistics

Found = Iterable[tuple[Sample | None, str] | tuple[Sample, str, NearPair]]


@rule("dataset", "the same pixels and mask twice in a split", "drop")
def exact_duplicate(fingerprints: Iterable[Fingerprint]) -> Found:
    """Report every sample that equals an earlier one; the first stays."""
    first: dict[tuple[str, str, str], Sample] = {}
    for sample, image, mask, _ in fingerprints:
        original = first.setdefault((sample.split, image, mask), sample)
        if original is not sample:
            yield sample, f"same pixels and same mask as {original.id}"


@rule("dataset", "nearly the same image twice in a split (cosine distance of thumbnails): it shows nothing new", "warn")
def near_duplicate(fingerprints: Sequence[Fingerprint], *, below: NonNegative = 0.02) -> Found:
    return [(near.later, _nearly(near, "the split"), near) for near in near_copies(fingerprints, below)]


@rule(
    "dataset", "nearly the same image in two splits (cosine distance of thumbnails): accuracy is measured on "
    "training data", "block",
)  # fmt: skip
def leakage(split_pairs: Iterable[SplitPair], *, below: NonNegative = 0.02) -> Found:
    """Report each leaking sample of a later split once; the splits were compared with `below`."""
    first: dict[Sample, NearPair] = {}
    for near in (near for pair in split_pairs for near in pair.leaking):
        first.setdefault(near.later, near)
    nearest_first = sorted(first.values(), key=lambda near: near.distance)
    return [(near.later, _nearly(near, f"split {near.earlier.split}"), near) for near in nearest_first]


@rule("dataset", "frames of one sequence in two splits", "warn")
def shared_sequence(split_pairs: Iterable[SplitPair], samples: Iterable[Sample]) -> Found:
    """Report each sample of a later split once."""
    earlier: dict[tuple[str, str], str] = {}
    for pair in split_pairs:
        for sequence in pair.shared_sequences:
            earlier.setdefault((pair.later, sequence), pair.earlier)
    for sample in samples:
        if first := earlier.get((sample.split, sample.sequence)):
            yield sample, f"split {first} also has frames of its sequence {sample.sequence}"


@rule("dataset", "a class has no pixel to train on, so no network can learn it", "block", ABOUT_DATASET)
def untrained_class(trained_on: Mapping[str, np.ndarray], classes: ClassTable) -> Found:
    """Report classes without pixels; `trained_on` has the pixels of each raw id, int64 (256,), by training split."""
    pixels = np.sum(list(trained_on.values()), axis=0)
    seen = f"the kept samples of {' and '.join(trained_on)}, whose masks hold {id_list(np.flatnonzero(pixels))}"
    for each in classes.classes:
        if pixels.any() and not pixels[list(each.raw_ids)].any():
            wanted = f"class {each.name} ({id_list(each.raw_ids)})"
            yield None, f"no pixel of {wanted} in {seen} (void: {id_list(classes.void_raw_ids)})"


@rule("dataset", "a void id covers a large share of all pixels; it may be a class", "warn", ABOUT_DATASET)
def frequent_void(pixels: np.ndarray, classes: ClassTable, *, above: Fraction = 0.2) -> Found:
    """Report void ids that cover too much; `pixels` has the pixels of each raw id, int64 (256,)."""
    for raw_id in classes.void_raw_ids:
        share = pixels[raw_id] / max(1, pixels.sum())
        if share > above:
            covers = f"void id {raw_id} covers {100 * share:.0f} % of all pixels, which training and metrics ignore"
            yield None, f"{covers}. If it is a class, list it under `ids` of that class"


@rule("dataset", "a class occurs too rarely in a split to be measured there", "warn", ABOUT_DATASET)
def missing_class(splits: Mapping[str, SplitStatistics], names: Sequence[str], *, samples: Count = 1) -> Found:
    for split, statistics in splits.items():
        if not statistics.samples or split == UNLABELLED:
            continue
        for name, count in zip(names, statistics.samples_with_class, strict=True):
            if count == 0:
                yield None, f"split {split}: no pixel of class {name}, so its accuracy cannot be measured there"
            elif count < samples:
                yield None, f"split {split}: class {name} occurs in {count} sample(s), fewer than {samples}"


@rule("dataset", "a class is rare in train, compared with the most frequent one", "warn", ABOUT_DATASET)
def class_imbalance(splits: Mapping[str, SplitStatistics], names: Sequence[str], *, above: Positive = 100.0) -> Found:
    pixels = splits["train"].pixels
    most = max(pixels)
    for name, count in zip(names, pixels, strict=True):
        if count and most / count > above:
            frequent = names[pixels.index(most)]
            yield None, f"split train has {most / count:.0f} pixels of {frequent} for each one of {name}"


def _nearly(near: NearPair, where: str) -> str:
    return f"nearly the same image as {near.earlier.id} of {where} (distance {near.distance:.4f})"
