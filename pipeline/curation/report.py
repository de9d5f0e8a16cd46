"""What curation found, for people: a Markdown page."""

from collections.abc import Iterable, Sequence

from pipeline.curation.duplicates import SplitPair
from pipeline.curation.statistics import (
    Findings,
    SplitStatistics,
    affected_samples,
    nearest_pairs,
    rejected_per_rule,
)
from pipeline.data.samples import UNLABELLED

POLICIES = {
    "block": "Policy `block`: any such pair stops the pipeline.",
    "drop": "Policy `drop`: the sample of the later split was rejected; the numbers below are from before.",
    "warn": "Policy `warn`: nothing was done about them.",
}


def curation_report(findings: Findings, objections: Sequence[str]) -> str:
    """The whole page; `objections` are the reasons why the dataset was refused, none if it was not."""
    sections = [
        "# Curation",
        _summary(findings, objections),
        "## Warnings\n\n" + (_bullets(warnings(findings)) or "None."),
        "## Rejected samples\n\n" + _rejected(findings),
        "## Classes\n\n" + _classes(findings),
        "## Leakage between splits\n\n" + _leakage(findings),
    ]
    return "\n\n".join(sections) + "\n"


def warnings(findings: Findings) -> list[str]:
    """What does not stop the pipeline and yet limits what its numbers mean."""
    empty = [
        f"Split {split}: no pixel of class {name}; nothing can be said about it there."
        for split, statistics in findings.splits.items()
        for name, pixels in zip(findings.class_names, statistics.pixels, strict=True)
        if statistics.samples and not pixels and split != UNLABELLED
    ]
    shared = [
        f"Splits {pair.earlier} and {pair.later} share {len(pair.shared_sequences)} "
        f"sequence(s): {', '.join(pair.shared_sequences[:8])}{' ...' if len(pair.shared_sequences) > 8 else ''}."
        for pair in findings.split_pairs
        if pair.shared_sequences
    ]
    leaking = [
        f"{count} sample(s) of split {split} have a near-duplicate in an earlier split"
        f"{' and were rejected' if findings.policy == 'drop' else ''}."
        for split, count in affected_samples(findings.split_pairs).items()
        if count
    ]
    return empty + leaking + shared


def _summary(findings: Findings, objections: Sequence[str]) -> str:
    kept = sum(statistics.samples for statistics in findings.splits.values())
    splits = ", ".join(f"{split} {statistics.samples}" for split, statistics in findings.splits.items())
    counts = f"Kept {kept} samples ({splits}), rejected {len(findings.rejections)}."
    if not objections:
        return counts
    return f"**Refused.** Nothing may be trained on this dataset:\n\n{_bullets(objections)}\n\n{counts}"


def _rejected(findings: Findings) -> str:
    counts = _table(["rule", "samples"], rejected_per_rule(findings.rejections).items())
    if not findings.rejections:
        return counts
    rows = [(r.sample.id, r.sample.split, r.rule, r.reason) for r in findings.rejections]
    return counts + "\n\n" + _table(["id", "split", "rule", "reason"], rows)


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


def _leakage(findings: Findings) -> str:
    if not findings.split_pairs:
        return "Fewer than two splits have usable samples, so there is nothing to compare."
    explanation = (
        f"Two images count as one if their thumbnails are closer than {findings.distance} "
        f"(cosine distance; `curation.near_duplicate_distance`). {POLICIES[findings.policy]}"
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


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """A file name or an error text may hold what would end the cell."""
    return " ".join(str(value).replace("|", "\\|").split())
