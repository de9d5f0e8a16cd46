"""Decide which samples may be used: rules for each sample, and comparisons of all samples with each other."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.curation.blocking import blocking_messages
from pipeline.curation.class_fit import require_fitting_masks
from pipeline.curation.duplicates import Fingerprint, compare_splits, near_copies
from pipeline.curation.measuring.measure import measure_samples
from pipeline.curation.pictures import draw_pictures
from pipeline.curation.report import curation_report
from pipeline.curation.review import Files, Remark, read_review, split_remarks
from pipeline.curation.rule import Finding, all_rules
from pipeline.curation.sample_rules import Case, case_of, check_sample, lies_inside
from pipeline.curation.statistics import Findings, split_statistics, statistics
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_text
from pipeline.data.samples import SPLITS, Decision, Sample, read_samples, write_decisions, write_samples
from pipeline.errors import DatasetError
from pipeline.params.curation import CurationParams
from pipeline.records.files import write_record


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
    `out`/samples.csv with the samples to use. `report` (Markdown) and its `pictures` are written in any case, so that
    a refused dataset can be examined.

    Args:
        source: folder of the dataset; a link that leads out of it is a finding.
        review: what people said about samples.
        scratch: folder of the cache of measurements.

    Raises:
        DatasetError: an input is missing or damaged, a rule whose policy is `block` found something, a split has no
            sample left, or the masks do not fit the class table.
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
    blocking = blocking_messages(findings, report)
    drawn = draw_pictures(findings, classes, pictures)
    write_text(report, curation_report(findings, blocking, drawn, report))
    if blocking:
        raise DatasetError("\n".join(blocking))
    dropped = _dropped(findings.found)
    kept = [sample for sample in samples if sample.id not in dropped]
    write_decisions(out / "decisions.csv", decisions(findings, dropped))
    write_record(out / "statistics.json", statistics(findings))
    write_samples(out / "samples.csv", kept)
    print(f"kept {len(kept)} of {len(samples)} samples; {report} gives the reasons for the others")


def examine(cases: Sequence[Case], classes: ClassTable, rules: Any) -> Findings:
    """Apply all rules; nothing is read or written here. `rules` has an attribute with the parameters of each rule."""
    samples = [case.sample for case in cases]
    by_id = {sample.id: sample for sample in samples}

    def check(rule: str, *data: object) -> list[Finding]:
        params = getattr(rules, rule)
        pairs = all_rules()[rule].check(*data, params)
        return [Finding(rule, params.policy, sample, reason) for sample, reason in pairs]

    found = [finding for case in cases for finding in check_sample(case, rules)]
    dropped = _dropped(found)
    fingerprints = [
        Fingerprint(c.sample.id, c.sample.split, c.sample.sequence, c.image.digest, c.mask.digest if c.mask else "",
                    c.image.thumbnail)
        for c in cases
        if c.image and c.sample.id not in dropped
    ]  # fmt: skip
    copies = check("exact_duplicate", fingerprints, by_id)
    copied = {finding.sample for finding in copies}
    fingerprints = [f for f in fingerprints if by_id[f.id] not in copied]
    split_pairs = compare_splits(fingerprints, rules.leakage.below)
    near_duplicates = near_copies(fingerprints, rules.near_duplicate.below)
    found += copies
    found += check("leakage", split_pairs, by_id)
    found += check("shared_sequence", split_pairs, [by_id[f.id] for f in fingerprints])
    found += check("near_duplicate", near_duplicates, by_id)

    dropped = _dropped(found)
    kept = [sample for sample in samples if sample.id not in dropped]
    labelled = {case.sample.id: case.labelled for case in cases}
    sizes = {case.sample.id: int(case.mask.pixels.sum()) for case in cases if case.mask}
    splits = {
        split: split_statistics(kept, labelled, sizes, split, len(classes.classes))
        for split in SPLITS
        if any(sample.split == split for sample in samples)
    }
    found += check("missing_class", splits, classes.names)
    found += check("class_imbalance", splits, classes.names)
    policies = {name: params["policy"] for name, params in asdict(rules).items()}
    return Findings(classes.names, policies, rules.leakage.below, samples, found, near_duplicates, split_pairs, splits)


def decisions(findings: Findings, dropped: set[str]) -> list[Decision]:
    """Return the whole sample list with what was found about each sample; what leaves it out comes first."""
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
    """Return, by sample id, the remarks about files that are unchanged; print the others."""
    files = {sample.id: Files(sample.image_sha256, sample.mask_sha256) for sample in samples}
    valid, outdated, unknown = split_remarks(remarks, files)
    for remark in outdated:
        print(f"review: {remark.id} has changed since it was tagged {remark.verdict}, and is used again")
    for remark in unknown:
        print(f"review: {remark.id} is not in the dataset; its remark {remark.verdict} does nothing")
    return {remark.id: remark for remark in valid}


def _dropped(found: Sequence[Finding]) -> set[str]:
    return {finding.sample.id for finding in found if finding.policy == "drop" and finding.sample is not None}
