"""Why a dataset is refused, in words."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.curation.rules import Finding
from pipeline.curation.statistics import Findings, affected_samples
from pipeline.errors import SegdistillError

NAMED = 3
"""How many leaking pairs, or samples, an error names."""


class CurationError(SegdistillError):
    """A dataset on which nothing should be trained or measured."""


def objections_to(findings: Findings, report: Path) -> list[str]:
    """A sentence for each rule that blocks, and for each split that has no sample left; none if all is well."""
    return [*_blocked(findings, report), *_empty_splits(findings)]


def _blocked(findings: Findings, report: Path) -> list[str]:
    """One sentence for each rule that blocks."""
    blocking: dict[str, list[Finding]] = {}
    for finding in findings.found:
        if finding.policy == "block":
            blocking.setdefault(finding.rule, []).append(finding)
    return [
        _leakage(findings, report) if rule == "leakage" else _objection(rule, found, report)
        for rule, found in blocking.items()
    ]


def _objection(rule: str, found: Sequence[Finding], report: Path) -> str:
    examples = "; ".join(f"{f.sample.id}: {f.reason}" if f.sample else f.reason for f in found[:NAMED])
    more = f" and {len(found) - NAMED} more in {report}" if len(found) > NAMED else ""
    return (
        f"rule {rule} blocks: {examples}{more}. Mend the dataset, or set curation.rules.{rule}.policy in params.yaml "
        f"to drop or warn"
    )


def _leakage(findings: Findings, report: Path) -> str:
    leaking = [pair for pair in findings.split_pairs if pair.leaking]
    counts = ", ".join(f"{pair.name} {pair.pair_count}" for pair in leaking)
    worst = sorted((near for pair in leaking for near in pair.leaking), key=lambda near: near.distance)[:NAMED]
    examples = ", ".join(f"{near.earlier} = {near.later} ({near.distance:.4f})" for near in worst)
    affected = ", ".join(f"{n} of {split}" for split, n in affected_samples(findings.split_pairs).items() if n)
    return (
        f"splits share near-duplicates, so that accuracy would be measured on what was trained on. Pairs closer than "
        f"{findings.distance}: {counts}; samples affected: {affected}; the nearest: {examples}. {report} shows more. "
        f"Mend the splits, or set curation.rules.leakage.policy in params.yaml to drop (the sample of the later split "
        f"goes) or to warn (nothing goes); curation.rules.leakage.below says what counts as the same image"
    )


def _empty_splits(findings: Findings) -> list[str]:
    messages = []
    for split in [name for name, statistics in findings.splits.items() if not statistics.samples]:
        lost = [f for f in findings.dropped if f.sample is not None and f.sample.split == split]
        counts = ", ".join(f"{rule} {n}" for rule, n in Counter(finding.rule for finding in lost).items())
        first = lost[0]
        messages.append(
            f"no sample of split {split} is left, all {len(lost)} were rejected: {counts}. "
            f"The first, {first.sample and first.sample.image}: {first.reason}"
        )
    return messages
