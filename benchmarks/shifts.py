"""Move the masks of a split and count how many the curation rule shifted_mask finds.

Moves every mask in memory, each in its own direction, by several shares of the image's longer side. Pixels that leave
the image enter again at the opposite side.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import begun
from pipeline.curation.measuring.pixels import align
from pipeline.curation.sample_rules import is_shifted
from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.files import write_json
from pipeline.data.images import read_image, read_mask
from pipeline.data.samples import Sample, read_samples
from pipeline.params.tree import load_params

SHARES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.06)
"""Shifts, as shares of the longer side; 0 leaves the masks unchanged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", default="val", choices=("train", "val", "test"), help="split whose masks are moved")
    parser.add_argument("--seed", type=int, default=0, help="seed of the directions")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/shifts.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    samples = read_samples(Path("data/curated/samples.csv"), arguments.split)
    table = ClassTable.load(Path("data/prepared/classes.json"))
    limits = load_params().curation.rules.shifted_mask
    found = np.array(list(_found(samples, table, limits, arguments.seed)))
    rows = [{"share": s, "found": int(n)} for s, n in zip(SHARES, found.sum(axis=0), strict=True)]
    record: dict[str, Any] = {"split": arguments.split, "masks": len(found), "limits": vars(limits), "rows": rows}
    write_json(arguments.out, {**begun(), **record})
    for row in rows:
        print(f"moved by {100 * row['share']:4.1f} % of the longer side: {row['found']} of {len(found)} found")
    print(f"wrote {arguments.out}")


def _found(samples: Sequence[Sample], table: ClassTable, limits: Any, seed: int) -> Iterator[list[bool]]:
    """Yield, for each labelled sample, whether the rule finds it after each shift."""
    known = table.lookup() != IGNORE_INDEX
    for number, sample in enumerate(samples):
        if sample.mask is None:
            continue
        image, mask = read_image(sample.image), read_mask(sample.mask, classes=table)
        side = max(mask.shape)
        angle = np.random.default_rng([seed, number]).uniform(0, 2 * np.pi)
        answers = []
        for share in SHARES:
            offset = tuple(round(share * side * float(part)) for part in (np.sin(angle), np.cos(angle)))
            shift = align(image, np.roll(mask, offset, axis=(0, 1)), known)
            answers.append(is_shifted(shift, side, limits.above, limits.gain))
        yield answers
