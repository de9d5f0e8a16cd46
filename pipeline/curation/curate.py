"""Stage curate: measure every sample, apply the rules, and write which samples may be used and why others may not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.curation.findings import Findings, drops, examine
from pipeline.curation.measuring.measure import measure_samples
from pipeline.curation.measuring.record import Measurement
from pipeline.curation.pictures import draw_pictures
from pipeline.curation.report import blocking_messages, curation_report, warning_messages
from pipeline.curation.review import Files, Remark, read_review, split_remarks
from pipeline.curation.rule import Finding
from pipeline.curation.sample_rules import case_of
from pipeline.data.classes import ClassTable, id_list
from pipeline.data.files import write_text
from pipeline.data.samples import (
    UNLABELLED,
    Decision,
    Sample,
    listed_source,
    read_samples,
    write_decisions,
    write_samples,
)
from pipeline.errors import DatasetError
from pipeline.params.dataset import CurationParams
from pipeline.records.files import write_record


def curate_dataset(
    curation: CurationParams, training_splits: Sequence[str], source: Path, prepared: Path, review: Path,
    scratch: Path, out: Path, report: Path, pictures: Path,
) -> None:  # fmt: skip
    """Decide which samples may be used.

    Writes `out`/decisions.csv (every sample with its decision and the reasons), `out`/statistics.json and, last,
    `out`/samples.csv with the samples to use. `report` (Markdown) and its `pictures` are written even if the dataset is
    refused, so that you can examine it. Warnings are also printed.

    Args:
        training_splits: splits whose labels networks are trained on.
        source: folder of the dataset; a link that leads out of it is a finding.
        scratch: folder of the cache of measurements.

    Raises:
        DatasetError: an input is missing or damaged, a rule whose policy is `block` found something, a split has no
            sample left, or the masks do not fit the class table.
    """
    (out / "samples.csv").unlink(missing_ok=True)
    classes = ClassTable.load(prepared / "classes.json")
    samples = read_samples(prepared / "samples.csv")
    verdicts = valid_verdicts(read_review(review), samples)
    measurements = measure_samples(samples, classes, curation.max_megapixels, scratch / "measurements.sqlite")
    require_fitting_masks(samples, measurements, classes)
    roots = [source.resolve(), prepared.resolve()]
    cases = [case_of(s, m, classes, verdicts.get(s.id, ""), roots) for s, m in zip(samples, measurements, strict=True)]
    findings = examine(cases, classes, training_splits, curation.rules)
    blocking = blocking_messages(findings, report)
    drawn = draw_pictures(findings, classes, pictures)
    write_text(report, curation_report(findings, blocking, drawn, report))
    for message in warning_messages(findings, report):
        print(message)
    if blocking:
        raise DatasetError("\n".join(blocking))
    decided = decisions(findings)
    kept = [decision.sample for decision in decided if decision.decision == "keep"]
    listed = listed_source(prepared)
    write_decisions(out / "decisions.csv", decided, listed)
    write_record(out / "statistics.json", findings.statistics)
    write_samples(out / "samples.csv", kept, listed)
    print(f"kept {len(kept)} of {len(samples)} samples; {report} gives the reasons for the others")


def decisions(findings: Findings) -> list[Decision]:
    """Return the decision about every sample of the list; the findings that drop it come first."""
    left_out = drops(findings.found)
    about: dict[Sample, list[Finding]] = {sample: [] for sample in findings.samples}
    for finding in sorted(findings.found, key=lambda finding: finding.policy != "drop"):
        if finding.sample is not None:
            about[finding.sample].append(finding)
    return [
        Decision(sample, "drop" if sample.id in left_out else "keep", [f.rule for f in said], [f.reason for f in said])
        for sample, said in about.items()
    ]


def valid_verdicts(remarks: Sequence[Remark], samples: Sequence[Sample]) -> dict[str, str]:
    """Return, by sample id, the verdicts about unchanged files; print the remarks that have no effect."""
    files = {sample.id: Files(sample.image_sha256, sample.mask_sha256) for sample in samples}
    valid, outdated, unknown = split_remarks(remarks, files)
    for remark in outdated:
        print(f"review: {remark.id} has changed since it was tagged {remark.verdict}; the sample is used again")
    for remark in unknown:
        print(f"review: {remark.id} is not in the dataset; its remark {remark.verdict} has no effect")
    return {remark.id: remark.verdict for remark in valid}


def require_fitting_masks(samples: Sequence[Sample], measurements: Sequence[Measurement], classes: ClassTable) -> None:
    """Raise an error if the class table does not fit the masks; the rules handle a few wrong masks.

    Raises:
        DatasetError: no mask can be used, no pixel belongs to a class, or more than half of the masks have ids or
            colors that are not in the table. The message names the ids of the masks and of the table.
    """
    labelled = [(s.mask, m) for s, m in zip(samples, measurements, strict=True) if s.split != UNLABELLED]
    usable = [m.mask.pixels for _, m in labelled if m.mask]
    if not usable:
        file, first = labelled[0]
        problem = first.problems["mask"].sentence
        raise DatasetError(f"0 of {len(labelled)} masks can be used; the first, {file}: {problem}")
    colored = [(file, m.problems["mask"]) for file, m in labelled if "mask" in m.problems]
    colored = [(file, problem.sentence) for file, problem in colored if problem.kind == "colors"]
    if 2 * len(colored) > len(labelled):
        file, sentence = colored[0]
        raise DatasetError(
            f"{len(colored)} of {len(labelled)} masks have colors that are not in the class table {classes.dataset!r}; "
            f"{file}: {sentence}. Add them to the table, as classes or as void_colors"
        )
    pixels = np.sum(usable, axis=0)
    known = classes.known_raw_ids()
    of_class = classes.lookup() < len(classes.classes)
    foreign = sum(bool(mask[~known].any()) for mask in usable)
    ids = (
        f"the masks hold {id_list(np.flatnonzero(pixels))}; the class table {classes.dataset!r} has "
        f"{id_list(np.flatnonzero(of_class))} as classes and {id_list(np.flatnonzero(known & ~of_class))} as void. "
        f"Correct the ids of the class table, or set dataset.adapter to the adapter of these masks"
    )
    if not pixels[of_class].any():
        raise DatasetError(f"0 pixels of {len(usable)} masks belong to a class: {ids}")
    if 2 * foreign > len(usable):
        raise DatasetError(f"{foreign} of {len(usable)} masks hold ids outside the class table: {ids}")
