"""What people say about samples, on its way between the App's tags and review.csv: three-way merges.

`base` is what review.csv said when the App's dataset was last brought in line with it.
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
    """Return the ids of the samples whose verdict was changed in the App."""
    return {sample for sample, _ in app ^ base}


def merge(app: Verdicts, base: Verdicts, file: Verdicts) -> Verdicts:
    """Return the App's verdict where it was changed there, the file's otherwise."""
    changed = unapplied(app, base)
    return {pair for pair in app if pair[0] in changed} | {pair for pair in file if pair[0] not in changed}


def merged_review(remarks: Sequence[Remark], app: Verdicts, base: Verdicts, files: Mapping[str, Files]) -> list[Remark]:
    """Return what review.csv has to say once the App's changes are in it.

    Remarks about samples that are not here, or whose files have changed since, stay as they are unless the App says
    something new about the sample: whoever wrote them may still need them. Both verdicts on one are a DatasetError.
    """
    holding, outdated, unknown = split_remarks(remarks, files)
    verdicts = merge(app, base, {(remark.id, remark.verdict) for remark in holding})
    about = Counter(sample for sample, _ in verdicts)
    if torn := sorted(sample for sample, count in about.items() if count > 1):
        raise DatasetError(
            f"tagged with both {' and '.join(VERDICTS)}: {', '.join(torn)}. A sample that is dropped needs no other "
            f"label: remove one of the tags in the App, then apply again; nothing was written"
        )
    said = [Remark(sample, verdict, *files[sample]) for sample, verdict in verdicts]
    return sorted([*said, *(remark for remark in (*outdated, *unknown) if remark.id not in about)])
