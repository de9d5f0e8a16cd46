"""What curation found, for people: a Markdown page."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.curation.duplicates import SplitPair
from pipeline.curation.pictures import Picture
from pipeline.curation.rule import Finding, all_rules
from pipeline.curation.statistics import (
    Findings,
    found_per_rule,
    nearest_pairs,
    rejected_per_rule,
)
from pipeline.records.curation import SplitStatistics

LISTED = 20
"""Findings of one rule that are listed; all of them stand in decisions.csv."""


def curation_report(
    findings: Findings, blocking: Sequence[str], pictures: Mapping[str, Sequence[Picture]], page: Path
) -> str:
    """The whole page.

    Args:
        blocking: the reasons why the dataset was refused, none if it was not.
        pictures: pictures by rule.
        page: where it will lie, for links to the pictures.
    """
    found = {
        rule: [finding for finding in findings.found if finding.rule == rule]
        for rule, count in found_per_rule(findings).items()
        if count
    }
    sections = [
        "# Curation",
        _summary(findings, blocking),
        "## Rules\n\n" + _rules(findings),
        *(_rule(rule, members, pictures.get(rule, ()), page) for rule, members in found.items()),
        "## Classes\n\n" + _classes(findings),
        "## Distances between splits\n\n" + _distances(findings),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(findings: Findings, blocking: Sequence[str]) -> str:
    kept = sum(statistics.samples for statistics in findings.splits.values())
    splits = ", ".join(f"{split} {statistics.samples}" for split, statistics in findings.splits.items())
    counts = f"Kept {kept} samples ({splits}), left out {len(findings.dropped)}."
    if not blocking:
        return counts
    return f"**Refused.** Nothing may be trained on this dataset:\n\n{_bullets(blocking)}\n\n{counts}"


def _rules(findings: Findings) -> str:
    """Every rule, also those that found nothing: that they were asked is part of the pictures."""
    left_out = rejected_per_rule(findings)
    rows = [
        (rule, findings.policies[rule], count, left_out[rule], all_rules()[rule].meaning)
        for rule, count in found_per_rule(findings).items()
    ]
    explanation = (
        "A finding of policy `drop` leaves the sample out, one of `warn` only says so, one of `block` refuses the "
        "dataset. A sample is counted as left out by the first rule that says so. Files stay where they are."
    )
    return f"{explanation}\n\n{_table(['rule', 'policy', 'found', 'left out', 'what it means'], rows)}"


def _rule(rule: str, found: Sequence[Finding], pictures: Sequence[Picture], page: Path) -> str:
    rows = [(*((f.sample.id, f.sample.split) if f.sample else ("the dataset", "")), f.reason) for f in found[:LISTED]]
    more = f"\n\nand {len(found) - LISTED} more, in `data/curated/decisions.csv`." if len(found) > LISTED else ""
    shown = "".join(f"\n\n![{_cell(p.caption)}]({_link(p.file, page)})\n{_cell(p.caption)}" for p in pictures)
    return f"## {rule}: {all_rules()[rule].meaning}\n\n{_table(['sample', 'split', 'reason'], rows)}{more}{shown}"


def _classes(findings: Findings) -> str:
    """Share of the labelled pixels, and in how many samples a class occurs at all."""
    header = ["class"] + [cell for split in findings.splits for cell in (f"{split}: pixels", f"{split}: samples")]
    splits = findings.splits.values()
    rows: list[list[str | int]] = []
    for train_id, name in enumerate(findings.class_names):
        rows.append([name, *(cell for statistics in splits for cell in _class_cells(statistics, train_id))])
    rows.append(["void, of all pixels", *(cell for statistics in splits for cell in (_void_share(statistics), ""))])
    rows.append(["samples", *(cell for statistics in splits for cell in ("", statistics.samples))])
    rows.append(["sequences", *(cell for statistics in splits for cell in ("", statistics.sequences))])
    return "Pixels: share of the labelled ones. Samples: those in which the class occurs.\n\n" + _table(header, rows)


def _class_cells(statistics: SplitStatistics, train_id: int) -> tuple[str, int]:
    return _percent(statistics.pixels[train_id], sum(statistics.pixels)), statistics.samples_with_class[train_id]


def _void_share(statistics: SplitStatistics) -> str:
    return _percent(statistics.void_pixels, sum(statistics.pixels) + statistics.void_pixels)


def _distances(findings: Findings) -> str:
    if not findings.split_pairs:
        return "Fewer than two splits have usable samples, so there is nothing to compare."
    explanation = (
        f"Two images count as one if their thumbnails are closer than {findings.distance} (cosine distance; "
        f"`curation.rules.leakage.below`). The numbers are from before any sample was left out for that."
    )
    header = ["splits", "pairs", "samples of the later split affected", "shared sequences"]
    pairs = _table(header, [_pair_row(pair) for pair in findings.split_pairs])
    near = [(pair.earlier, pair.later, f"{pair.distance:.4f}") for pair in nearest_pairs(findings.split_pairs)]
    nearest = _table(["earlier split", "later split", "distance"], near)
    return f"{explanation}\n\n{pairs}\n\nThe nearest of all, to judge the distance by:\n\n{nearest}"


def _pair_row(pair: SplitPair) -> tuple[str, int, int, str]:
    return pair.name, pair.pair_count, len(pair.leaking), ", ".join(pair.shared_sequences) or "none"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "n/a"


def _link(file: Path, page: Path) -> str:
    return Path(os.path.relpath(file, page.parent)).as_posix()


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """A file name or an error text may hold what would end the cell."""
    return " ".join(str(value).replace("|", "\\|").split())
