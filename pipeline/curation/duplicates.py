"""Samples that occur twice: within a split, exactly or nearly, and across splits, which is leakage."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pipeline.data.samples import SPLITS, UNLABELLED

BLOCK = 512
"""Rows of the distance matrix that are held at once."""


class Fingerprint(NamedTuple):
    """What is compared to find the same image again."""

    id: str
    split: str
    sequence: str
    image_digest: str
    mask_digest: str
    thumbnail: np.ndarray  # float32 (d,), length 1, or zero where the image shows nothing


class NearPair(NamedTuple):
    """A sample and what comes nearest to it among the earlier ones."""

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


def exact_copies(fingerprints: Sequence[Fingerprint]) -> dict[str, str]:
    """Id of a copy -> id of the first sample of the same split with the same pixels and the same mask."""
    first: dict[tuple[str, str, str], str] = {}
    copies = {}
    for found in fingerprints:
        original = first.setdefault((found.split, found.image_digest, found.mask_digest), found.id)
        if original != found.id:
            copies[found.id] = original
    return copies


def near_copies(fingerprints: Sequence[Fingerprint], distance: float) -> list[NearPair]:
    """Return, nearest first, the samples of each split that show nothing new, each with the one that stays instead.

    Samples are taken in their order, and one that is near to none that stayed stays. So the first of two stays, and
    of a slow drive every frame that is far enough from the last one that stayed.
    """
    found = [pair for split in SPLITS for pair in _near_copies([f for f in fingerprints if f.split == split], distance)]
    return sorted(found, key=lambda pair: pair.distance)


def _near_copies(fingerprints: Sequence[Fingerprint], distance: float) -> Iterator[NearPair]:
    stays = np.zeros(len(fingerprints), dtype=bool)
    for start, distances in _distance_blocks(fingerprints, fingerprints, only_before=True):
        for offset, row in enumerate(distances):
            here = start + offset
            stayed = np.flatnonzero(stays[:here])
            nearest = int(stayed[row[stayed].argmin()]) if len(stayed) else here
            stays[here] = nearest == here or float(row[nearest]) >= distance
            if not stays[here]:
                yield _pair(fingerprints[nearest], fingerprints[here], float(row[nearest]))


def compare_splits(fingerprints: Sequence[Fingerprint], distance: float) -> list[SplitPair]:
    """Compare every sample of every split with every sample of the others.

    Two images count as the same if their pixels are equal or the cosine distance of their thumbnails is below
    `distance`.
    """
    by_split: Mapping[str, list[Fingerprint]] = {s: [f for f in fingerprints if f.split == s] for s in SPLITS}
    present = [split for split in SPLITS if by_split[split]]
    pairs = [pair for pair in combinations(present, 2) if pair != ("train", UNLABELLED)]  # both teach, neither judges
    return [_compare(by_split[a], by_split[b], distance) for a, b in pairs]


def _compare(earlier: list[Fingerprint], later: list[Fingerprint], distance: float) -> SplitPair:
    pair_count = 0
    nearest: list[NearPair] = []
    leaking: list[NearPair] = []
    for start, distances in _distance_blocks(earlier, later, only_before=False):
        pair_count += int(np.count_nonzero(distances < distance))
        for row, partner in enumerate(distances.argmin(axis=1).tolist()):
            pair = _pair(earlier[partner], later[start + row], float(distances[row, partner]))
            nearest.append(pair)
            if distances[row, partner] < distance:
                leaking.append(pair)
    sequences = {f.sequence for f in earlier} & {f.sequence for f in later}
    return SplitPair(
        earlier[0].split,
        later[0].split,
        pair_count,
        sorted(nearest, key=lambda pair: pair.distance),
        sorted(leaking, key=lambda pair: pair.distance),
        sorted(sequences),
    )


def _pair(earlier: Fingerprint, later: Fingerprint, distance: float) -> NearPair:
    return NearPair(earlier.id, later.id, round(max(distance, 0.0), 6))


def _distance_blocks(
    columns: Sequence[Fingerprint], rows: Sequence[Fingerprint], only_before: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of the matrix rows x columns of cosine distances: number of the first row, float32 (b, columns).

    With `only_before`, the columns beyond the block's last row are left out.

    Equal pixels are a little less than 0 apart, so that they are below any distance, also where both thumbnails show
    nothing and are as far apart as any.
    """
    if not rows:
        return
    thumbnails = np.stack([f.thumbnail for f in columns])
    _, codes = np.unique([f.image_digest for f in [*columns, *rows]], return_inverse=True)
    of_columns, of_rows = codes[: len(columns)], codes[len(columns) :]
    for start in range(0, len(rows), BLOCK):
        block = np.stack([f.thumbnail for f in rows[start : start + BLOCK]])
        end = start + BLOCK if only_before else len(columns)
        distances = np.clip(1 - block @ thumbnails[:end].T, 0, 2)
        distances[of_rows[start : start + BLOCK, None] == of_columns[None, :end]] = -1e-9
        yield start, distances
