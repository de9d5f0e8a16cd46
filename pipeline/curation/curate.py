"""Which samples may teach and judge: rules for each sample, and a comparison of all with all."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.curation.class_fit import require_fitting_masks
from pipeline.curation.duplicates import Look, compare_splits
from pipeline.curation.evidence import write_evidence
from pipeline.curation.groups import (
    class_imbalance,
    exact_duplicates,
    leaks,
    missing_classes,
    near_duplicate_findings,
    near_duplicates,
    shared_sequences,
)
from pipeline.curation.measuring.measure import measure_samples
from pipeline.curation.measuring.record import ImageMeasurement, MaskMeasurement
from pipeline.curation.objections import CurationError, objections_to
from pipeline.curation.report import curation_report
from pipeline.curation.review import Files, Remark, read_review, split_remarks
from pipeline.curation.rules import Case, Finding, case_of, lies_inside, object_to
from pipeline.curation.statistics import Findings, split_statistics, statistics_json
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_json, write_text
from pipeline.data.samples import SPLITS, Decision, Sample, read_samples, write_decisions, write_samples
from pipeline.params import CurationParams
from pipeline.params.curation import RulesParams


def curate_dataset(
    curation: CurationParams,
    source: Path,
    prepared: Path,
    review: Path,
    scratch: Path,
    out: Path,
    report: Path,
    pictures: Path,
) -> None:
    """Decide which samples may be used.

    Writes `out`/decisions.csv (every sample with its decision and the reasons), `out`/statistics.json and, last,
    `out`/samples.csv with the samples to use; `report` (Markdown) and its `pictures` in any case, so that a refused
    dataset can be looked into.

    Args:
        source: folder of the dataset; a link that leads out of it is a finding.
        review: what people said about samples.
        scratch: where measurements are kept from one time to the next.

    Raises:
        CurationError: a rule whose policy is `block` found something, a split has no sample left, or the masks do not
            go with the class table.
        ReviewError, SampleListError, ClassTableError: an input is missing or damaged.
    """
    (out / "samples.csv").unlink(missing_ok=True)
    classes = ClassTable.load(prepared / "classes.json")
    samples = read_samples(prepared / "samples.csv")
    remarks = valid_remarks(read_review(review), samples)
    measurements = measure_samples(samples, classes, curation.max_megapixels, scratch / "measurements.sqlite")
    require_fitting_masks(samples, measurements, classes)
    roots = [source.resolve(), prepared.resolve()]
    lookup, known = classes.lookup(), classes.known_raw_ids()
    cases = [
        case_of(s, m, lookup, known, len(classes.classes), remarks.get(s.id), lies_inside(s, roots))
        for s, m in zip(samples, measurements, strict=True)
    ]
    findings = examine(cases, classes, curation.rules)
    objections = objections_to(findings, report)
    evidence = write_evidence(findings, classes, pictures)
    write_text(report, curation_report(findings, objections, evidence, report))
    if objections:
        raise CurationError("\n".join(objections))
    dropped = _dropped(findings.found)
    kept = [sample for sample in samples if sample.id not in dropped]
    write_decisions(out / "decisions.csv", decisions(findings, dropped))
    write_json(out / "statistics.json", statistics_json(findings))
    write_samples(out / "samples.csv", kept)
    print(f"kept {len(kept)} of {len(samples)} samples; the reasons for the others are in {report}")


def examine(cases: Sequence[Case], classes: ClassTable, rules: RulesParams) -> Findings:
    """All that the rules find; nothing is read or written here."""
    samples = [case.sample for case in cases]
    by_id = {sample.id: sample for sample in samples}
    found = [finding for case in cases for finding in object_to(case, rules)]
    dropped = _dropped(found)
    looks = [
        _look(case) for case in cases if case.sample.id not in dropped and isinstance(case.image, ImageMeasurement)
    ]

    copies = exact_duplicates(looks, by_id, rules.exact_duplicate)
    again = {finding.sample.id for finding in copies if finding.sample is not None}
    looks = [look for look in looks if look.id not in again]
    split_pairs = compare_splits(looks, rules.leakage.below)
    twins = near_duplicates(looks, rules.near_duplicate.below)
    found += copies
    found += leaks(split_pairs, by_id, rules.leakage)
    found += shared_sequences(split_pairs, (by_id[look.id] for look in looks), rules.shared_sequence)
    found += near_duplicate_findings(twins, by_id, rules.near_duplicate)

    dropped = _dropped(found)
    kept = [sample for sample in samples if sample.id not in dropped]
    labelled = {case.sample.id: case.labelled for case in cases}
    sizes = {c.sample.id: int(c.mask.pixels.sum()) for c in cases if isinstance(c.mask, MaskMeasurement)}
    splits = {
        split: split_statistics(kept, labelled, sizes, split, len(classes.classes))
        for split in SPLITS
        if any(sample.split == split for sample in samples)
    }
    found += missing_classes(splits, classes.names, rules.missing_class)
    found += class_imbalance(splits, classes.names, rules.class_imbalance)
    policies = {name: limits["policy"] for name, limits in asdict(rules).items()}
    return Findings(classes.names, policies, rules.leakage.below, samples, found, twins, split_pairs, splits)


def decisions(findings: Findings, dropped: set[str]) -> list[Decision]:
    """The whole sample list with what was found about each sample; what leaves it out comes first."""
    about: dict[str, list[Finding]] = {sample.id: [] for sample in findings.samples}
    for finding in sorted(findings.found, key=lambda finding: finding.policy != "drop"):
        if finding.sample is not None:
            about[finding.sample.id].append(finding)
    return [
        Decision(
            sample,
            "drop" if sample.id in dropped else "keep",
            [finding.rule for finding in about[sample.id]],
            [finding.reason for finding in about[sample.id]],
        )
        for sample in findings.samples
    ]


def valid_remarks(remarks: Sequence[Remark], samples: Sequence[Sample]) -> dict[str, Remark]:
    """By sample id, the remarks whose image and mask are still those that were looked at; the others are named."""
    files = {sample.id: Files(sample.image_sha256, sample.mask_sha256) for sample in samples}
    holding, outdated, unknown = split_remarks(remarks, files)
    for remark in outdated:
        print(f"review: {remark.id} has changed since it was tagged {remark.verdict}, and is used again")
    for remark in unknown:
        print(f"review: {remark.id} is not in the dataset; its remark {remark.verdict} does nothing")
    return {remark.id: remark for remark in holding}


def _dropped(found: Sequence[Finding]) -> set[str]:
    return {finding.sample.id for finding in found if finding.policy == "drop" and finding.sample is not None}


def _look(case: Case) -> Look:
    """What duplicates are found by, of a sample that no rule left out."""
    assert isinstance(case.image, ImageMeasurement)
    mask = case.mask.digest if isinstance(case.mask, MaskMeasurement) else ""
    sample = case.sample
    return Look(sample.id, sample.split, sample.sequence, case.image.digest, mask, case.image.thumbnail)
