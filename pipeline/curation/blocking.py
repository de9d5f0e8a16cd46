"""Say why a dataset is refused."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.curation.rule import Finding
from pipeline.curation.statistics import Findings, affected_samples

NAMED = 3
"""Leaking pairs or samples that a message names."""


def blocking_messages(findings: Findings, report: Path) -> list[str]:
    """Return a message for each rule that blocks and for each split without samples; none if the dataset is usable."""
    blocking: dict[str, list[Finding]] = {}
    for finding in findings.found:
        if finding.policy == "block":
            blocking.setdefault(finding.rule, []).append(finding)
    rules = [
        _leakage(findings, report) if rule == "leakage" else _blocked(rule, found, report)
        for rule, found in blocking.items()
    ]
    return [*rules, *(_empty_split(findings, split) for split, s in findings.splits.items() if not s.samples)]


def _blocked(rule: str, found: Sequence[Finding], report: Path) -> str:
    examples = "; ".join(f"{f.sample.id}: {f.reason}" if f.sample else f.reason for f in found[:NAMED])
    more = f" and {len(found) - NAMED} more in {report}" if len(found) > NAMED else ""
    return (
        f"rule {rule} blocks: {examples}{more}. Repair the dataset, or set curation.rules.{rule}.policy in params.yaml "
        f"to drop or warn"
    )


def _leakage(findings: Findings, report: Path) -> str:
    leaking = [pair for pair in findings.split_pairs if pair.leaking]
    counts = ", ".join(f"{pair.name} {pair.pair_count}" for pair in leaking)
    worst = sorted((near for pair in leaking for near in pair.leaking), key=lambda near: near.distance)[:NAMED]
    examples = ", ".join(f"{near.earlier} = {near.later} ({near.distance:.4f})" for near in worst)
    affected = ", ".join(f"{n} of {split}" for split, n in affected_samples(findings.split_pairs).items() if n)
    return (
        f"splits share near-duplicates, so accuracy would be measured on training data. Pairs closer than "
        f"{findings.distance}: {counts}; samples affected: {affected}; the nearest: {examples}. {report} shows more. "
        f"Repair the splits, or set curation.rules.leakage.policy in params.yaml to drop (leaves out the sample of the "
        f"later split) or warn (keeps both); curation.rules.leakage.below is the distance of the same image"
    )


def _empty_split(findings: Findings, split: str) -> str:
    lost = [f for f in findings.dropped if f.sample is not None and f.sample.split == split]
    counts = ", ".join(f"{rule} {n}" for rule, n in Counter(finding.rule for finding in lost).items())
    return (
        f"no sample of split {split} is left, all {len(lost)} were rejected: {counts}. "
        f"The first, {lost[0].sample and lost[0].sample.image}: {lost[0].reason}"
    )
