"""Measure every sample once: earlier measurements are found by the content of the files."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.curation.measuring.decode import Decoded, decode
from pipeline.curation.measuring.pixels import measure_image, measure_mask
from pipeline.curation.measuring.record import Measurement, Problem, from_bytes, to_bytes
from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.samples import Sample
from pipeline.data.store import Store

READING = ("boundaries", "classes", "images")  # modules of pipeline.data that measurements depend on
AT_ONCE = 256  # samples that are measured before they are stored: a killed run loses at most these


def measure_samples(
    samples: Sequence[Sample], classes: ClassTable, max_megapixels: float, store: Path
) -> list[Measurement]:
    """Measure all samples, in their order, with one thread for each core: decoding releases Python's lock.

    The store has the measurement of a sample if the bytes of its files, the class table, the limit and this code are
    the same as before. Memory grows by about 6 KB for each sample.
    """
    data = Path(__file__).parents[2] / "data"
    sources = [*sorted(Path(__file__).parent.glob("*.py")), *(data / f"{name}.py" for name in READING)]
    code = b"".join(path.read_bytes() for path in sources)
    table = f"{classes.known_raw_ids().tolist()} {classes.raw_ids_by_color()}"
    usual = sha256(f"{max_megapixels} {table} {np.__version__}".encode() + code).hexdigest()
    keys = [_key(sample, usual) for sample in samples]
    # Ignores pillow's warnings about large images and odd metadata. It is set here because threads share the filter.
    with Store(store) as known, ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings(action="ignore"):
        stored = known.get(key for key in keys if key)
        new = [(key, sample) for key, sample in zip(keys, samples, strict=True) if key not in stored]
        fresh: dict[Sample, Measurement] = {}
        starts = range(0, len(new), AT_ONCE)
        for start in track(starts, f"measuring {len(new)} of {len(samples)}", disable=not new):
            part = new[start : start + AT_ONCE]
            found = list(pool.map(lambda entry: measure_sample(entry[1], classes, max_megapixels), part))
            fresh.update(zip((sample for _, sample in part), found, strict=True))
            known.put({key: to_bytes(m) for (key, _), m in zip(part, found, strict=True) if key and _lasts(m)})
        known.forget(set(keys))
    return [
        fresh[sample] if sample in fresh else from_bytes(stored[key]) for key, sample in zip(keys, samples, strict=True)
    ]


def measure_sample(sample: Sample, classes: ClassTable, max_megapixels: float) -> Measurement:
    """Decode the files of a sample and measure them."""
    image = decode(sample.image, sample.image_sha256, max_megapixels, None)
    mask = decode(sample.mask, sample.mask_sha256, max_megapixels, classes) if sample.mask else None
    pixels = image.pixels if isinstance(image, Decoded) else None
    return Measurement(
        measure_image(image) if isinstance(image, Decoded) else None,
        measure_mask(mask, pixels, classes.lookup() != IGNORE_INDEX) if isinstance(mask, Decoded) else None,
        {name: found for name, found in (("image", image), ("mask", mask)) if isinstance(found, Problem)},
    )


def _lasts(measurement: Measurement) -> bool:
    """Return whether to store a measurement: not if a file is gone or changed, so that it lacks the listed bytes."""
    return not any(problem.kind in ("unreadable", "changed") for problem in measurement.problems.values())


def _key(sample: Sample, usual: str) -> str:
    """Return the key in the store; empty if a file cannot be read, because its content is then not known."""
    if not sample.image_sha256 or (sample.mask is not None and not sample.mask_sha256):
        return ""
    return sha256(f"{sample.image_sha256} {sample.mask_sha256} {usual}".encode()).hexdigest()
