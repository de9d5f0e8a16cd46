"""Samples that occur twice: exact copies within a split, and near-duplicates across splits (leakage)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pipeline.data.samples import SPLITS, UNLABELLED

BLOCK = 1024
"""Rows of the distance matrix that are held at once."""


class Look(NamedTuple):
    """What of a sample is compared with others."""

    id: str
    split: str
    sequence: str
    image_digest: str
    mask_digest: str
    thumbnail: np.ndarray  # float32 (d,), length 1, or zero where the image shows nothing


class NearPair(NamedTuple):
    """A sample of a later split and what comes nearest to it in an earlier one."""

    earlier: str  # ids
    later: str
    distance: float  # cosine distance of the thumbnails, 0..2; 0 for equal pixels


class SplitPair(NamedTuple):
    """What two splits have in common. The order of splits is train, val, test, unlabelled."""

    earlier: str
    later: str
    pair_count: int  # pairs below the distance
    nearest: list[NearPair]  # one for each sample of the later split, nearest first
    leaking: list[NearPair]  # those of `nearest` below the distance
    shared_sequences: list[str]

    @property
    def name(self) -> str:
        return f"{self.earlier}/{self.later}"


def exact_copies(looks: Sequence[Look]) -> dict[str, str]:
    """Id of a copy -> id of the first sample of the same split with the same pixels and the same mask."""
    first: dict[tuple[str, str, str], str] = {}
    copies = {}
    for look in looks:
        original = first.setdefault((look.split, look.image_digest, look.mask_digest), look.id)
        if original != look.id:
            copies[look.id] = original
    return copies


def compare_splits(looks: Sequence[Look], distance: float) -> list[SplitPair]:
    """Compare every sample of every split with every sample of the others.

    Two images are one if their pixels are equal or the cosine distance of their thumbnails is below `distance`.
    """
    by_split: Mapping[str, list[Look]] = {s: [look for look in looks if look.split == s] for s in SPLITS}
    present = [split for split in SPLITS if by_split[split]]
    pairs = [pair for pair in combinations(present, 2) if pair != ("train", UNLABELLED)]  # both teach, neither judges
    return [_compare(by_split[a], by_split[b], distance) for a, b in pairs]


def _compare(earlier: list[Look], later: list[Look], distance: float) -> SplitPair:
    pair_count = 0
    nearest: list[NearPair] = []
    leaking: list[NearPair] = []
    for rows, distances, equal in _distance_blocks(earlier, later):
        is_one = equal | (distances < distance)
        pair_count += int(is_one.sum())
        for row, look in enumerate(rows):
            # Equal pixels come first, also where both thumbnails show nothing and are as far apart as any.
            partner = int(np.argmin(distances[row]))
            pair = NearPair(earlier[partner].id, look.id, round(float(distances[row, partner]), 6))
            nearest.append(pair)
            if is_one[row].any():
                leaking.append(pair)
    sequences = {look.sequence for look in earlier} & {look.sequence for look in later}
    return SplitPair(
        earlier[0].split,
        later[0].split,
        pair_count,
        sorted(nearest, key=lambda pair: pair.distance),
        sorted(leaking, key=lambda pair: pair.distance),
        sorted(sequences),
    )


def _distance_blocks(earlier: list[Look], later: list[Look]) -> Iterator[tuple[list[Look], np.ndarray, np.ndarray]]:
    """Blocks of the matrix later x earlier: the rows' looks, cosine distances, and where the pixels are equal."""
    thumbnails = np.stack([look.thumbnail for look in earlier])
    digests = np.array([look.image_digest for look in earlier])
    for start in range(0, len(later), BLOCK):
        rows = later[start : start + BLOCK]
        equal = np.array([look.image_digest for look in rows])[:, None] == digests[None, :]
        distances = np.clip(1 - np.stack([look.thumbnail for look in rows]) @ thumbnails.T, 0, 2)
        distances[equal] = 0
        yield rows, distances, equal
