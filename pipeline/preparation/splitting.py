"""Splits for a dataset that has none: whole sequences, so that no frame is judged whose neighbor was learned."""

import hashlib
from collections.abc import Mapping

from pipeline.preparation.adapter import PrepareError


def assign_splits(sequences: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The split of each sequence.

    Sequences are taken in an order that the seed and their names fix, and each goes to the split that lacks most of
    its share; so every split comes close to its share, as far as whole sequences allow.

    Args:
        sequences: number of frames by name.
        shares: of the frames, by split; they add up to 1.
        seed: another one gives another order.

    Raises:
        PrepareError: there are fewer sequences than splits with a share.
    """
    wanted = {split: share * sum(sequences.values()) for split, share in shares.items() if share > 0}
    if len(sequences) < len(wanted):
        raise PrepareError(
            f"{len(sequences)} sequence(s) ({', '.join(sorted(sequences)[:3])}) cannot be divided among the splits "
            f"{', '.join(wanted)}: a sequence stays whole. Put the frames of each sequence into a folder of its own, "
            f"set dataset.split.sequence_pattern, or set a share to 0"
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
