"""Measure every sample once: what was measured before is found again by the content of its files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.curation.measuring.decode import Decoded, decode_image, decode_mask
from pipeline.curation.measuring.image import measure_image
from pipeline.curation.measuring.mask import align, measure_mask
from pipeline.curation.measuring.record import Measurement, Problem, from_bytes, to_bytes
from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.files import sha256 as file_sha256
from pipeline.data.samples import Sample
from pipeline.data.store import Store

AT_ONCE = 256
"""Samples that are measured before what is known of them is kept: a killed run loses no more."""


def measure_samples(
    samples: Sequence[Sample], classes: ClassTable, max_megapixels: float, store: Path
) -> list[Measurement]:
    """Measure all samples, in their order, with as many threads as there are cores: decoding leaves Python's lock.

    A sample is found again in the store if the bytes of its files, the class table, the limit and this code are the
    same. Memory grows by about 6 KB for each sample.
    """
    usual = sha256(f"{max_megapixels} {classes.known_raw_ids().tolist()} {_code()}".encode()).hexdigest()
    keys = [_key(sample, usual) for sample in samples]
    # Ignored: pillow's warnings about large pictures and odd metadata. Here, because threads share the filter.
    with Store(store) as known, ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings(action="ignore"):
        stored = known.get(key for key in keys if key)
        new = [(key, sample) for key, sample in zip(keys, samples, strict=True) if key not in stored]
        fresh: dict[Sample, Measurement] = {}
        parts = list(_parts(new))
        for part in track(parts, f"measuring {len(new)} of {len(samples)}", disable=not parts):
            chosen = [sample for _, sample in part]
            found = list(pool.map(lambda sample: measure_sample(sample, classes, max_megapixels), chosen))
            fresh.update(zip(chosen, found, strict=True))
            known.put({key: to_bytes(m) for (key, _), m in zip(part, found, strict=True) if key and _lasts(m)})
        known.forget(set(keys))
    return [
        fresh[sample] if sample in fresh else from_bytes(stored[key]) for key, sample in zip(keys, samples, strict=True)
    ]


def measure_sample(sample: Sample, classes: ClassTable, max_megapixels: float) -> Measurement:
    """Decode the files of a sample and measure them."""
    image = decode_image(sample.image, max_megapixels)
    image = _changed(sample.image, sample.image_sha256) or image
    mask = None
    if sample.mask is not None:
        mask = decode_mask(sample.mask, max_megapixels)
        mask = _changed(sample.mask, sample.mask_sha256) or mask
    alignment = None
    if isinstance(image, Decoded) and isinstance(mask, Decoded) and image.pixels.shape[:2] == mask.pixels.shape:
        alignment = align(image.pixels, mask.pixels, classes.lookup() != IGNORE_INDEX)
    return Measurement(
        image if isinstance(image, Problem) else measure_image(image),
        mask if mask is None or isinstance(mask, Problem) else measure_mask(mask),
        alignment,
    )


def _changed(path: Path, listed: str) -> Problem | None:
    """What a list says must hold of the very bytes that are measured: measurements are found again by it.

    Asked after decoding: a file that was rewritten meanwhile is still another one then.
    """
    if not listed or not path.is_file() or file_sha256(path) == listed:
        return None
    return Problem("changed", "changed since the dataset was prepared; run the prepare stage again")


def _lasts(measurement: Measurement) -> bool:
    """A file that is gone, or is another one for the moment, says nothing about the bytes that the list names."""
    return not any(isinstance(p, Problem) and p.kind in ("unreadable", "changed") for p in measurement[:2])


def _key(sample: Sample, usual: str) -> str:
    """Empty where a file cannot be read: that is no property of its content."""
    if not sample.image_sha256 or (sample.mask is not None and not sample.mask_sha256):
        return ""
    return sha256(f"{sample.image_sha256} {sample.mask_sha256} {usual}".encode()).hexdigest()


def _code() -> str:
    """Changes with the code that measures, so that no measurement outlives it."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(path.read_bytes() for path in files) + np.__version__.encode()).hexdigest()


def _parts(new: Sequence[tuple[str, Sample]]) -> Iterator[list[tuple[str, Sample]]]:
    remaining = iter(new)
    while part := list(islice(remaining, AT_ONCE)):
        yield part
