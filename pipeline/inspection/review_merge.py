"""Merge people's verdicts about samples between the App's tags and review.csv (three-way merges).

`base` is the set of verdicts in review.csv when the App's dataset was last updated from it.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from pipeline.curation.review import VERDICTS, Files, Remark, split_remarks
from pipeline.errors import DatasetError

Verdicts = set[tuple[str, str]]  # pairs of sample id and verdict; by mistake a sample may have both verdicts


def verdicts_in(tags: Mapping[str, Collection[str]]) -> Verdicts:
    """Return the verdicts among the tags of samples."""
    return {(sample, verdict) for sample, names in tags.items() for verdict in VERDICTS if verdict in names}


def unapplied(app: Verdicts, base: Verdicts) -> set[str]:
    """Return the ids of the samples whose verdict changed in the App."""
    return {sample for sample, _ in app ^ base}


def merge(app: Verdicts, base: Verdicts, file: Verdicts) -> Verdicts:
    """Return the App's verdicts about samples that changed there, and the file's verdicts about all others."""
    changed = unapplied(app, base)
    return {pair for pair in app if pair[0] in changed} | {pair for pair in file if pair[0] not in changed}


def merged_review(remarks: Sequence[Remark], app: Verdicts, base: Verdicts, files: Mapping[str, Files]) -> list[Remark]:
    """Return the remarks of review.csv with the App's changes.

    Remarks about unknown samples or changed files stay, because their authors may still need them. Only a new verdict
    in the App replaces them. Raises DatasetError if a sample has both verdicts.
    """
    holding, outdated, unknown = split_remarks(remarks, files)
    verdicts = merge(app, base, {(remark.id, remark.verdict) for remark in holding})
    about = Counter(sample for sample, _ in verdicts)
    if torn := sorted(sample for sample, count in about.items() if count > 1):
        raise DatasetError(
            f"tagged with both {' and '.join(VERDICTS)}: {', '.join(torn)}; nothing was written. A dropped sample "
            f"needs no other label: remove one of the tags in the App, then apply again"
        )
    said = [Remark(sample, verdict, *files[sample]) for sample, verdict in verdicts]
    return sorted([*said, *(remark for remark in (*outdated, *unknown) if remark.id not in about)])
