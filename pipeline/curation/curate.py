"""Which samples may teach and judge: rules for each sample, and a comparison of all with all."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.curation.duplicates import Look, SplitPair, compare_splits, exact_copies
from pipeline.curation.measurement import ImageMeasurement, MaskMeasurement, Measurement, measure_samples
from pipeline.curation.report import curation_report
from pipeline.curation.rules import Rejection, objection
from pipeline.curation.statistics import Findings, affected_samples, split_statistics, statistics_json
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_json, write_text
from pipeline.data.samples import SPLITS, Sample, read_samples, write_samples
from pipeline.errors import SegdistillError
from pipeline.params import CurationParams

NAMED = 3
"""How many leaking pairs an error names."""


class CurationError(SegdistillError):
    """A dataset on which nothing should be trained or measured."""


def curate_dataset(curation: CurationParams, prepared: Path, out: Path, report: Path) -> None:
    """Keep the samples that may be used.

    Writes `out`/rejected.csv (one reason per dropped sample), `out`/statistics.json and, last, `out`/samples.csv;
    `report` (Markdown) in any case, so that a refused dataset can be looked into.

    Raises:
        CurationError: splits share near-duplicates and curation.leakage is `block`, or a split has no sample left.
    """
    (out / "samples.csv").unlink(missing_ok=True)
    classes = ClassTable.load(prepared / "classes.json")
    samples = read_samples(prepared / "samples.csv")
    measurements = measure_samples(samples)
    kept, findings = examine(samples, measurements, classes, curation.near_duplicate_distance, curation.leakage)
    objections = [*_blocking_leakage(findings, report), *_empty_splits(findings)]
    write_text(report, curation_report(findings, objections))
    if objections:
        raise CurationError("\n".join(objections))
    write_text(out / "rejected.csv", _rejected_csv(findings.rejections))
    write_json(out / "statistics.json", statistics_json(findings))
    write_samples(out / "samples.csv", kept)
    print(f"kept {len(kept)} of {len(samples)} samples; the reasons for the others are in {report}")


def examine(
    samples: Sequence[Sample], measurements: Sequence[Measurement], classes: ClassTable, distance: float, policy: str
) -> tuple[list[Sample], Findings]:
    """Decide on every sample; nothing is read or written here.

    Args:
        samples: the prepared list.
        measurements: one for each sample.
        classes: of the dataset.
        distance: cosine distance of thumbnails below which two images are one.
        policy: for near-duplicates across splits; with `drop` the sample of the later split goes.

    Returns:
        the samples to keep, in their order, and all that was found.
    """
    class_count = len(classes.classes)
    verdicts = [objection(s, m, class_count) for s, m in zip(samples, measurements, strict=True)]
    rejections = [verdict for verdict in verdicts if verdict is not None]
    usable = [_look(s, m) for s, m, v in zip(samples, measurements, verdicts, strict=True) if v is None]
    looks = [look for look, _ in usable]
    pixels = {look.id: mask_pixels for look, mask_pixels in usable}
    by_id = {sample.id: sample for sample in samples}

    copies = exact_copies(looks)
    rejections += [
        Rejection(by_id[copy], "exact_duplicate", f"same pixels and same mask as {original}")
        for copy, original in copies.items()
    ]
    split_pairs = compare_splits([look for look in looks if look.id not in copies], distance)
    if policy == "drop":
        rejections += _leaks(split_pairs, by_id)

    dropped = {rejection.sample.id for rejection in rejections}
    kept = [sample for sample in samples if sample.id not in dropped]
    splits = {
        split: split_statistics(kept, pixels, split, class_count)
        for split in SPLITS
        if any(sample.split == split for sample in samples)
    }
    return kept, Findings(classes.names, policy, distance, rejections, split_pairs, splits)


def _look(sample: Sample, measurement: Measurement) -> tuple[Look, np.ndarray]:
    """What duplicates are found by, and the pixels of each train id, of a sample that no rule objects to."""
    image, mask = measurement
    assert isinstance(image, ImageMeasurement)
    assert isinstance(mask, MaskMeasurement)
    return Look(sample.id, sample.split, sample.sequence, image.digest, mask.digest, image.thumbnail), mask.pixels


def _leaks(split_pairs: Sequence[SplitPair], samples: Mapping[str, Sample]) -> list[Rejection]:
    """The samples of later splits that have a near-duplicate in an earlier one, each once."""
    leaks: dict[str, Rejection] = {}
    for pair in split_pairs:
        for near in pair.leaking:
            reason = f"nearly the same image as {near.earlier} of split {pair.earlier} (distance {near.distance:.4f})"
            leaks.setdefault(near.later, Rejection(samples[near.later], "leakage", reason))
    return list(leaks.values())


def _blocking_leakage(findings: Findings, report: Path) -> list[str]:
    leaking = [pair for pair in findings.split_pairs if pair.leaking]
    if findings.policy != "block" or not leaking:
        return []
    counts = ", ".join(f"{pair.name} {pair.pair_count}" for pair in leaking)
    worst = sorted((near for pair in leaking for near in pair.leaking), key=lambda near: near.distance)[:NAMED]
    examples = ", ".join(f"{near.earlier} = {near.later} ({near.distance:.4f})" for near in worst)
    affected = ", ".join(f"{n} of {split}" for split, n in affected_samples(findings.split_pairs).items() if n)
    return [
        f"splits share near-duplicates, so that accuracy would be measured on what was trained on. Pairs closer than "
        f"{findings.distance}: {counts}; samples affected: {affected}; the nearest: {examples}. {report} lists more. "
        f"Mend the splits, or set curation.leakage in params.yaml to drop (the sample of the later split goes) or to "
        f"warn (nothing goes); curation.near_duplicate_distance says what counts as the same image"
    ]


def _empty_splits(findings: Findings) -> list[str]:
    messages = []
    for split in [name for name, statistics in findings.splits.items() if not statistics.samples]:
        lost = [rejection for rejection in findings.rejections if rejection.sample.split == split]
        counts = ", ".join(f"{rule} {n}" for rule, n in Counter(rejection.rule for rejection in lost).items())
        messages.append(
            f"no sample of split {split} is left, all {len(lost)} were rejected: {counts}. "
            f"The first, {lost[0].sample.id}: {lost[0].reason}"
        )
    return messages


def _rejected_csv(rejections: Sequence[Rejection]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "split", "image", "rule", "reason"])
    writer.writerows([r.sample.id, r.sample.split, r.sample.image.as_posix(), r.rule, r.reason] for r in rejections)
    return text.getvalue()
