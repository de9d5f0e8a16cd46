"""What curation found, for people: a Markdown page."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.curation.duplicates import SplitPair
from pipeline.curation.evidence import Evidence
from pipeline.curation.rules import Finding
from pipeline.curation.statistics import (
    Findings,
    SplitStatistics,
    found_per_rule,
    nearest_pairs,
    rejected_per_rule,
)

LISTED = 20
"""Findings of one rule that are listed; all of them stand in decisions.csv."""

MEANINGS = {
    "reviewed_drop": "tagged `drop` by a person (review.csv)",
    "reviewed_label": "tagged `fix_label` by a person, mask unchanged since",
    "unreadable_image": "no picture, or none that can be read",
    "unreadable_mask": "the same of the mask",
    "truncated_image": "the file begins as a picture and ends too early, or is damaged within",
    "truncated_mask": "the same of the mask",
    "too_large": "more pixels than `max_megapixels`; not decoded",
    "unusable_mode": "an image of more than 8 bits a channel, a mask of other than one channel of 8 bits",
    "size_mismatch": "image and mask differ in size",
    "unknown_ids": "ids that the class table does not know",
    "nothing_labelled": "the whole mask is void",
    "converted_mode": "the image is not RGB and is turned into it",
    "wrong_suffix": "the file's name promises another format",
    "lossy_mask": "the mask is stored in a format that changes ids",
    "rotated": "EXIF asks to turn the image; the mask may be drawn for either view",
    "outside_dataset": "a link that leads out of the dataset's folder",
    "mostly_void": "too little of the mask is labelled",
    "single_class": "the mask shows one class only",
    "shifted_mask": "borders of the mask fit the edges of the image better elsewhere",
    "frayed_borders": "label noise along borders",
    "blank": "the image is all but one color",
    "overexposed": "too much white",
    "underexposed": "too much black",
    "blurred": "blurred (Crété's measure)",
    "exact_duplicate": "the same pixels and mask twice in a split",
    "near_duplicate": "nearly the same image twice in a split: it shows nothing new",
    "leakage": "nearly the same image in two splits: accuracy is measured on what was trained on",
    "shared_sequence": "frames of one sequence in two splits",
    "missing_class": "a class that a split shows too rarely to be measured there",
    "class_imbalance": "a class that is rare in train",
}


def curation_report(
    findings: Findings, objections: Sequence[str], evidence: Mapping[str, Sequence[Evidence]], page: Path
) -> str:
    """The whole page.

    Args:
        objections: the reasons why the dataset was refused, none if it was not.
        evidence: pictures by rule.
        page: where it will lie, for links to the pictures.
    """
    found = {
        rule: [finding for finding in findings.found if finding.rule == rule]
        for rule, count in found_per_rule(findings).items()
        if count
    }
    sections = [
        "# Curation",
        _summary(findings, objections),
        "## Rules\n\n" + _rules(findings),
        *(_rule(rule, members, evidence.get(rule, ()), page) for rule, members in found.items()),
        "## Classes\n\n" + _classes(findings),
        "## Distances between splits\n\n" + _distances(findings),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(findings: Findings, objections: Sequence[str]) -> str:
    kept = sum(statistics.samples for statistics in findings.splits.values())
    splits = ", ".join(f"{split} {statistics.samples}" for split, statistics in findings.splits.items())
    counts = f"Kept {kept} samples ({splits}), left out {len(findings.dropped)}."
    if not objections:
        return counts
    return f"**Refused.** Nothing may be trained on this dataset:\n\n{_bullets(objections)}\n\n{counts}"


def _rules(findings: Findings) -> str:
    """Every rule, also those that found nothing: that they were asked is part of the evidence."""
    left_out = rejected_per_rule(findings)
    rows = [
        (rule, findings.policies[rule], count, left_out[rule], MEANINGS[rule])
        for rule, count in found_per_rule(findings).items()
    ]
    explanation = (
        "A finding of policy `drop` leaves the sample out, one of `warn` only says so, one of `block` refuses the "
        "dataset. A sample is counted as left out by the first rule that says so. Files stay where they are."
    )
    return f"{explanation}\n\n{_table(['rule', 'policy', 'found', 'left out', 'what it means'], rows)}"


def _rule(rule: str, found: Sequence[Finding], evidence: Sequence[Evidence], page: Path) -> str:
    rows = [(*((f.sample.id, f.sample.split) if f.sample else ("the dataset", "")), f.reason) for f in found[:LISTED]]
    more = f"\n\nand {len(found) - LISTED} more, in `data/curated/decisions.csv`." if len(found) > LISTED else ""
    pictures = "".join(f"\n\n![{_cell(e.caption)}]({_link(e.file, page)})\n{_cell(e.caption)}" for e in evidence)
    return f"## {rule}: {MEANINGS[rule]}\n\n{_table(['sample', 'split', 'reason'], rows)}{more}{pictures}"


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
