"""Splits for a dataset that has none: whole sequences, so that no frame is judged whose neighbor was learned."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.data.samples import UNLABELLED
from pipeline.errors import DatasetError
from pipeline.params.dataset import SplitParams
from pipeline.preparation.adapter import RawSample


def divided(samples: Sequence[RawSample], split: SplitParams) -> list[RawSample]:
    """Give every labelled sample the split of its sequence, whatever split it had."""
    shares = {"train": 1 - split.val_share - split.test_share, "val": split.val_share, "test": split.test_share}
    assigned = assign_splits(Counter(s.sequence for s in samples if s.split != UNLABELLED), shares, split.seed)
    return [s if s.split == UNLABELLED else s._replace(split=assigned[s.sequence]) for s in samples]


def assign_splits(sequences: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Choose the split of each sequence, given with its number of frames, so that every split gets its share of them.

    Sequences are taken in an order that the seed and their names fix, and each goes to the split that lacks most of
    its share; so every split comes close to its share, as far as whole sequences allow.

    Raises:
        DatasetError: there are fewer sequences than splits with a share.
    """
    wanted = {split: share * sum(sequences.values()) for split, share in shares.items() if share > 0}
    if len(sequences) < len(wanted):
        raise DatasetError(
            f"{len(sequences)} sequence(s) ({', '.join(sorted(sequences)[:3])}) cannot be divided among the splits "
            f"{', '.join(wanted)}: a sequence stays whole. Put the frames of each sequence into a folder of its own, "
            f"find them by dataset.options.sequence_pattern, or set a share to 0"
        )
    order = sorted(sequences, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    assigned: dict[str, str] = {}
    for position, name in enumerate(order):
        empty = [split for split in wanted if split not in assigned.values()]
        candidates = empty if len(order) - position <= len(empty) else wanted
        split = max(candidates, key=lambda split: wanted[split])
        wanted[split] -= sequences[name]
        assigned[name] = split
    return assigned
