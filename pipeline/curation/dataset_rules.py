"""Check samples together: copies, leakage between splits, classes that are missing or rare.

A check returns the samples that it finds, None for the dataset as a whole, each with a reason. `curate.py` says what
it passes to each.
"""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.curation.duplicates import Fingerprint, NearPair, SplitPair, exact_copies
from pipeline.curation.rule import BelowParams, OccurrenceParams, RatioParams, RuleParams, rule
from pipeline.data.samples import UNLABELLED, Sample
from pipeline.records.curation import SplitStatistics

Found = list[tuple[Sample | None, str]]
Samples = Mapping[str, Sample]


@rule("the same pixels and mask twice in a split", RuleParams, per_sample=False, policy="drop")
def exact_duplicate(fingerprints: Sequence[Fingerprint], samples: Samples, params: RuleParams) -> Found:
    copies = exact_copies(fingerprints)
    return [(samples[copy], f"same pixels and same mask as {original}") for copy, original in copies.items()]


@rule(
    "nearly the same image twice in a split (cosine distance of thumbnails): it shows nothing new",
    BelowParams, per_sample=False, policy="warn", below=0.02,
)  # fmt: skip
def near_duplicate(pairs: Iterable[NearPair], samples: Samples, params: BelowParams) -> Found:
    return [(samples[near.later], _nearly(near, "the split")) for near in pairs]


@rule(
    "nearly the same image in two splits (cosine distance of thumbnails): accuracy is measured on training data",
    BelowParams, per_sample=False, policy="block", below=0.02,
)  # fmt: skip
def leakage(split_pairs: Sequence[SplitPair], samples: Samples, params: BelowParams) -> Found:
    """Report each leaking sample of a later split once."""
    found: dict[str, str] = {}
    for pair in split_pairs:
        for near in pair.leaking:
            found.setdefault(near.later, _nearly(near, f"split {pair.earlier}"))
    return [(samples[name], reason) for name, reason in found.items()]


@rule("frames of one sequence in two splits", RuleParams, per_sample=False, policy="warn")
def shared_sequence(split_pairs: Sequence[SplitPair], samples: Iterable[Sample], params: RuleParams) -> Found:
    """Report each sample of a later split once."""
    earlier: dict[tuple[str, str], str] = {}
    for pair in split_pairs:
        for sequence in pair.shared_sequences:
            earlier.setdefault((pair.later, sequence), pair.earlier)
    return [
        (sample, f"split {first} has frames of its sequence {sample.sequence} too")
        for sample in samples
        if (first := earlier.get((sample.split, sample.sequence))) is not None
    ]


@rule("a class that a split shows too rarely to be measured there", OccurrenceParams, per_sample=False,
      policy="warn", samples=1)  # fmt: skip
def missing_class(splits: Mapping[str, SplitStatistics], names: Sequence[str], params: OccurrenceParams) -> Found:
    found: Found = []
    for split, statistics in splits.items():
        if not statistics.samples or split == UNLABELLED:
            continue
        for name, count in zip(names, statistics.samples_with_class, strict=True):
            if count == 0:
                found.append((None, f"split {split}: no pixel of class {name}; nothing can be said about it there"))
            elif count < params.samples:
                few = f"occurs in {count} sample(s), fewer than {params.samples}"
                found.append((None, f"split {split}: class {name} {few}"))
    return found


@rule("a class that is rare in train beside the most frequent one", RatioParams, per_sample=False,
      policy="warn", above=100.0)  # fmt: skip
def class_imbalance(splits: Mapping[str, SplitStatistics], names: Sequence[str], params: RatioParams) -> Found:
    pixels = splits["train"].pixels
    most = max(pixels)
    frequent = names[pixels.index(most)]
    return [
        (None, f"split train has {most / count:.0f} pixels of {frequent} for each one of {name}")
        for name, count in zip(names, pixels, strict=True)
        if count and most / count > params.above
    ]


def _nearly(near: NearPair, where: str) -> str:
    return f"nearly the same image as {near.earlier} of {where} (distance {near.distance:.4f})"
