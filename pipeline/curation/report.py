"""Report curation's findings: a Markdown page, warnings, and the messages that refuse a dataset."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.curation.findings import Findings, drops
from pipeline.curation.pictures import Picture
from pipeline.curation.rule import Finding, all_rules
from pipeline.records.curation import Statistics

LISTED = 20  # findings of one rule that the page lists; decisions.csv has all of them
NAMED = 3  # findings that a message names


def blocking_messages(findings: Findings, report: Path) -> list[str]:
    """Return a message for each rule that blocks and for each split without samples; none if the dataset is usable."""
    numbers = findings.statistics
    blocking = [finding for finding in findings.found if finding.policy == "block"]
    messages = []
    for rule, found in _by_rule(blocking).items():
        message = f"rule {rule} blocks: {_named(found, report)}"
        if rule == "leakage":
            pairs = ", ".join(f"{splits} {count}" for splits, count in numbers.leakage.pairs.items() if count)
            affected = numbers.leakage.evaluation_samples_affected.items()
            message += (
                f". Accuracy would be measured on training data. Near-duplicate pairs: {pairs}; samples affected: "
                f"{', '.join(f'{count} of {split}' for split, count in affected if count)}"
            )
        key, milder = f"curation.rules.{rule}.policy", " or ".join(all_rules()[rule].milder)
        messages.append(f"{message}. Repair the dataset, or set {key} in params.yaml to {milder}")
    lost = drops(findings.found).values()
    for split in (split for split, kept in numbers.splits.items() if not kept.samples):
        of_split = [finding for finding in lost if finding.sample and finding.sample.split == split]
        counts = ", ".join(f"{rule} {n}" for rule, n in Counter(finding.rule for finding in of_split).items())
        first = f"The first, {of_split[0].sample and of_split[0].sample.image}: {of_split[0].reason}"
        messages.append(f"no sample of split {split} is left, all {len(of_split)} were rejected: {counts}. {first}")
    return messages


def warning_messages(findings: Findings, report: Path) -> list[str]:
    """Return a line for each rule that warns."""
    warned = [finding for finding in findings.found if finding.policy == "warn"]
    return [f"WARNING: {rule}: {_named(found, report)}" for rule, found in _by_rule(warned).items()]


def curation_report(
    findings: Findings, blocking: Sequence[str], pictures: Mapping[str, Sequence[Picture]], page: Path
) -> str:
    """Return the text of `page`; `blocking` has the reasons why the dataset was refused, and is empty if it was not."""
    numbers = findings.statistics
    kept = {split: statistics.samples for split, statistics in numbers.splits.items()}
    counts = ", ".join(f"{split} {count}" for split, count in kept.items())
    summary = f"Kept {sum(kept.values())} samples ({counts}), left out {sum(numbers.rejected.values())}."
    if blocking:
        reasons = "\n".join(f"- {line}" for line in blocking)
        summary = f"**Refused.** Nothing may be trained on this dataset:\n\n{reasons}\n\n{summary}"
    found = _by_rule(findings.found)
    sections = [
        "# Curation",
        summary,
        "## Rules\n\n" + _rules(numbers),
        *(_rule(rule, found[rule], pictures.get(rule, ()), page) for rule in numbers.policies if rule in found),
        "## Classes\n\n" + _classes(numbers),
        "## Distances between splits\n\n" + _distances(findings),
    ]
    return "\n\n".join(sections) + "\n"


def _named(found: Sequence[Finding], report: Path) -> str:
    named = [f"{finding.sample.id}: {finding.reason}" if finding.sample else finding.reason for finding in found]
    more = f" and {len(found) - NAMED} more in {report}" if len(found) > NAMED else ""
    return "; ".join(named[:NAMED]) + more


def _by_rule(found: Iterable[Finding]) -> dict[str, list[Finding]]:
    by_rule: dict[str, list[Finding]] = {}
    for finding in found:
        by_rule.setdefault(finding.rule, []).append(finding)
    return by_rule


def _rules(numbers: Statistics) -> str:
    explanation = (
        "The policy decides what happens on a finding: `drop` excludes the sample, `warn` only reports it, and `block` "
        "stops all training. A sample counts once as left out: for the first rule that drops it. No file is moved or "
        "deleted."
    )
    rows = [
        (rule, policy, numbers.found[rule], numbers.rejected[rule], all_rules()[rule].meaning)
        for rule, policy in numbers.policies.items()
    ]
    return f"{explanation}\n\n{_table(['rule', 'policy', 'found', 'left out', 'what it means'], rows)}"


def _rule(rule: str, found: Sequence[Finding], pictures: Sequence[Picture], page: Path) -> str:
    rows = [(*(f.sample[:2] if f.sample else ("the dataset", "")), f.reason) for f in found[:LISTED]]
    more = f"\n\nand {len(found) - LISTED} more, in `data/curated/decisions.csv`." if len(found) > LISTED else ""
    shown = ""
    for picture in pictures:
        caption, link = _cell(picture.caption), Path(os.path.relpath(picture.file, page.parent)).as_posix()
        shown += f"\n\n![{caption}]({link})\n{caption}"
    return f"## {rule}: {all_rules()[rule].meaning}\n\n{_table(['sample', 'split', 'reason'], rows)}{more}{shown}"


def _classes(numbers: Statistics) -> str:
    """Return the table of each class's share of the labelled pixels, and of the samples in which it occurs."""
    columns = [["class", *numbers.classes, "void, of all pixels", "samples", "sequences"]]
    for split, counts in numbers.splits.items():
        labelled = sum(counts.pixels)
        shares = [_percent(pixels, labelled) for pixels in counts.pixels]
        void = _percent(counts.void_pixels, labelled + counts.void_pixels)
        columns.append([f"{split}: pixels", *shares, void, "", ""])
        occurs = map(str, (*counts.samples_with_class, "", counts.samples, counts.sequences))
        columns.append([f"{split}: samples", *occurs])
    header, *rows = zip(*columns, strict=True)
    return "Pixels: share of the labelled pixels. Samples: those that show the class.\n\n" + _table(header, rows)


def _distances(findings: Findings) -> str:
    if not findings.split_pairs:
        return "Fewer than two splits have usable samples, so there is nothing to compare."
    leakage = findings.statistics.leakage
    explanation = (
        f"Two images count as near-duplicates if the cosine distance of their thumbnails is below {leakage.distance} "
        f"(`curation.rules.leakage.below`). The numbers are from before this rule drops samples."
    )
    rows = [
        (pair.name, pair.pair_count, len(pair.leaking), ", ".join(pair.shared_sequences) or "none")
        for pair in findings.split_pairs
    ]
    pairs = _table(["splits", "pairs", "samples of the later split affected", "shared sequences"], rows)
    near = [(pair.a, pair.b, f"{pair.distance:.4f}") for pair in leakage.nearest]
    nearest = _table(["earlier split", "later split", "distance"], near)
    return f"{explanation}\n\n{pairs}\n\nThe nearest pairs, to check the limit by eye:\n\n{nearest}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "n/a"


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """Escape the characters of a file name or an error text that would end the cell."""
    return " ".join(str(value).replace("|", "\\|").split())
