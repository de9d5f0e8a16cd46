"""Find near-duplicates within a split, and across splits, where they are leakage."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pipeline.data.samples import SPLITS, UNLABELLED, Sample

BLOCK = 512  # rows of the distance matrix that are in memory at once


class Fingerprint(NamedTuple):
    """The values of a sample that are compared to find duplicates."""

    sample: Sample
    image_digest: str
    mask_digest: str
    thumbnail: np.ndarray  # float32 (d,), length 1; zero for an image of one color


class NearPair(NamedTuple):
    """A sample and its nearest neighbor among the earlier samples."""

    earlier: Sample
    later: Sample
    distance: float  # cosine distance of the thumbnails, 0..2; 0 for equal pixels


class SplitPair(NamedTuple):
    """The near-duplicates and sequences that two splits share; splits are in the order train, val, test, unlabelled."""

    earlier: str
    later: str
    pair_count: int  # pairs closer than the limit
    nearest: list[NearPair]  # one for each sample of the later split, nearest first
    leaking: list[NearPair]  # those of `nearest` that are closer than the limit
    shared_sequences: list[str]

    @property
    def name(self) -> str:
        return f"{self.earlier}/{self.later}"


def near_copies(fingerprints: Sequence[Fingerprint], distance: float) -> list[NearPair]:
    """Return the samples that are near-duplicates within their split, each with the sample that stays, nearest first.

    A sample stays if its distance to every earlier sample that stayed is at least `distance`. So the first of two
    near-duplicates stays. Of a slow drive, every frame stays that is far enough from the last one that stayed.
    """
    found = []
    for of_split in _by_split(fingerprints).values():
        stays = np.zeros(len(of_split), dtype=bool)
        for start, distances in _distance_blocks(of_split, of_split, only_before=True):
            for here, row in enumerate(distances, start=start):
                stayed = np.flatnonzero(stays[:here])
                nearest = int(stayed[row[stayed].argmin()]) if len(stayed) else here
                stays[here] = nearest == here or float(row[nearest]) >= distance
                if not stays[here]:
                    found.append(_pair(of_split[nearest], of_split[here], row[nearest]))
    return sorted(found, key=lambda pair: pair.distance)


def compare_splits(fingerprints: Sequence[Fingerprint], distance: float) -> list[SplitPair]:
    """Compare every sample of every split with every sample of the others.

    Two images count as the same if their pixels are equal or the cosine distance of their thumbnails is below
    `distance`.
    """
    by_split = _by_split(fingerprints)
    pairs = [pair for pair in combinations(by_split, 2) if pair != ("train", UNLABELLED)]  # both are for training
    return [_compare(a, b, by_split[a], by_split[b], distance) for a, b in pairs]


def _by_split(fingerprints: Sequence[Fingerprint]) -> dict[str, list[Fingerprint]]:
    """Group by split, in the order of SPLITS; splits without samples are omitted."""
    by_split = {split: [f for f in fingerprints if f.sample.split == split] for split in SPLITS}
    return {split: members for split, members in by_split.items() if members}


def _compare(a: str, b: str, earlier: list[Fingerprint], later: list[Fingerprint], distance: float) -> SplitPair:
    pair_count = 0
    nearest: list[NearPair] = []
    leaking: list[NearPair] = []
    for start, distances in _distance_blocks(earlier, later, only_before=False):
        pair_count += int(np.count_nonzero(distances < distance))
        for row, partner in enumerate(distances.argmin(axis=1).tolist()):
            nearest.append(_pair(earlier[partner], later[start + row], distances[row, partner]))
            if distances[row, partner] < distance:
                leaking.append(nearest[-1])
    nearest.sort(key=lambda pair: pair.distance)
    leaking.sort(key=lambda pair: pair.distance)
    sequences = {f.sample.sequence for f in earlier} & {f.sample.sequence for f in later}
    return SplitPair(a, b, pair_count, nearest, leaking, sorted(sequences))


def _pair(earlier: Fingerprint, later: Fingerprint, distance: np.float32) -> NearPair:
    return NearPair(earlier.sample, later.sample, round(max(float(distance), 0.0), 6))


def _distance_blocks(
    columns: Sequence[Fingerprint], rows: Sequence[Fingerprint], only_before: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of the matrix rows x columns of cosine distances: number of the first row, float32 (b, columns).

    With `only_before`, the columns beyond the block's last row are omitted.

    Images with equal pixels get a distance slightly below 0, so that they are below every limit. Their thumbnails may
    both be zero, and then the cosine distance would be 1.
    """
    thumbnails = np.stack([f.thumbnail for f in columns])
    _, codes = np.unique([f.image_digest for f in [*columns, *rows]], return_inverse=True)
    of_columns, of_rows = codes[: len(columns)], codes[len(columns) :]
    for start in range(0, len(rows), BLOCK):
        block = np.stack([f.thumbnail for f in rows[start : start + BLOCK]])
        end = start + BLOCK if only_before else len(columns)
        distances = np.clip(1 - block @ thumbnails[:end].T, 0, 2)
        distances[of_rows[start : start + BLOCK, None] == of_columns[None, :end]] = -1e-9
        yield start, distances
