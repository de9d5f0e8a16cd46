"""Decide which samples may be used: rules for each sample, and comparisons of all samples with each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.curation.class_fit import require_fitting_masks
from pipeline.curation.duplicates import Fingerprint, compare_splits
from pipeline.curation.findings import Findings, drops, split_statistics, statistics
from pipeline.curation.measuring.measure import measure_samples
from pipeline.curation.pictures import draw_pictures
from pipeline.curation.report import blocking_messages, curation_report
from pipeline.curation.review import Files, Remark, read_review, split_remarks
from pipeline.curation.rule import Finding, all_rules, apply_rule
from pipeline.curation.sample_rules import Case, case_of, check_sample
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
    cases = [case_of(s, m, classes, remarks.get(s.id), roots) for s, m in zip(samples, measurements, strict=True)]
    findings = examine(cases, classes, curation.rules)
    blocking = blocking_messages(findings, report)
    drawn = draw_pictures(findings, classes, pictures)
    write_text(report, curation_report(findings, blocking, drawn, report))
    if blocking:
        raise DatasetError("\n".join(blocking))
    decided = decisions(findings)
    kept = [decision.sample for decision in decided if decision.decision == "keep"]
    write_decisions(out / "decisions.csv", decided)
    write_record(out / "statistics.json", findings.statistics)
    write_samples(out / "samples.csv", kept)
    print(f"kept {len(kept)} of {len(samples)} samples; {report} gives the reasons for the others")


def examine(cases: Sequence[Case], classes: ClassTable, rules: Any) -> Findings:
    """Apply all rules; nothing is read or written here. `rules` has an attribute with the parameters of each rule."""
    found = [finding for case in cases for finding in check_sample(case, rules)]

    def check(rule: str, *subject: object) -> None:
        policy = getattr(rules, rule).policy
        found.extend(Finding(rule, policy, *about) for about in apply_rule(rule, rules, *subject))

    gone = drops(found)
    fingerprints = [
        Fingerprint(c.sample, c.image.digest, c.mask.digest if c.mask else "", c.image.thumbnail)
        for c in cases
        if c.image and c.sample.id not in gone
    ]
    check("exact_duplicate", fingerprints)
    copies = {finding.sample for finding in found if finding.rule == "exact_duplicate"}
    fingerprints = [f for f in fingerprints if f.sample not in copies]
    split_pairs = compare_splits(fingerprints, rules.leakage.below)
    check("leakage", split_pairs)
    check("shared_sequence", split_pairs, [f.sample for f in fingerprints])
    check("near_duplicate", fingerprints)

    gone = drops(found)
    splits = {
        split: split_statistics([c for c in members if c.sample.id not in gone], len(classes.classes))
        for split in SPLITS
        if (members := [case for case in cases if case.sample.split == split])
    }
    check("missing_class", splits, classes.names)
    check("class_imbalance", splits, classes.names)
    policies = {name: getattr(rules, name).policy for name in all_rules()}
    numbers = statistics(classes.names, splits, policies, found, split_pairs, rules.leakage.below)
    return Findings([case.sample for case in cases], found, split_pairs, numbers)


def decisions(findings: Findings) -> list[Decision]:
    """Return the whole sample list with what was found about each sample; what leaves it out comes first."""
    gone = drops(findings.found)
    about: dict[str, list[Finding]] = {sample.id: [] for sample in findings.samples}
    for finding in sorted(findings.found, key=lambda finding: finding.policy != "drop"):
        if finding.sample is not None:
            about[finding.sample.id].append(finding)
    return [
        Decision(sample, "drop" if sample.id in gone else "keep", [f.rule for f in said], [f.reason for f in said])
        for sample, said in zip(findings.samples, about.values(), strict=True)
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
