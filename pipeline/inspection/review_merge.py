"""What people say about samples, on its way between the App's tags and review.csv: three-way merges.

A sample's verdict is a set of tags: none, one of VERDICTS, or by mistake both. `base` is what review.csv said when the
App's dataset was last brought in line with it.
"""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.curation.review import VERDICTS, Files, Remark, split_remarks
from pipeline.errors import DatasetError

Verdicts = dict[str, frozenset[str]]
"""By sample id; a sample without a verdict may be absent."""

NONE: frozenset[str] = frozenset()


def verdicts_of(remarks: Iterable[Remark]) -> Verdicts:
    return {remark.id: frozenset({remark.verdict}) for remark in remarks}


def verdicts_in(tags: Mapping[str, Iterable[str]]) -> Verdicts:
    """The verdicts among the tags of samples."""
    found = {sample: frozenset(VERDICTS) & frozenset(names) for sample, names in tags.items()}
    return {sample: verdict for sample, verdict in found.items() if verdict}


def unapplied(app: Verdicts, base: Verdicts) -> list[str]:
    """Ids of the samples whose verdict was changed in the App."""
    return sorted(sample for sample in app.keys() | base.keys() if app.get(sample, NONE) != base.get(sample, NONE))


def merge(app: Verdicts, base: Verdicts, file: Verdicts) -> Verdicts:
    """The App's verdict where it was changed there, the file's otherwise."""
    changed = unapplied(app, base)
    merged = {**file, **{sample: app.get(sample, NONE) for sample in changed}}
    return {sample: verdict for sample, verdict in merged.items() if verdict}


def merged_review(remarks: Sequence[Remark], app: Verdicts, base: Verdicts, files: Mapping[str, Files]) -> list[Remark]:
    """What review.csv has to say once the App's changes are in it.

    Remarks about samples that are not here, or whose files have changed since, stay as they are unless the App says
    something new about the sample: whoever wrote them may still need them.

    Args:
        remarks: what it says now.
        app: verdicts among the App's tags.
        base: see above.
        files: of the samples in the App.

    Raises:
        DatasetError: a sample would have both verdicts.
    """
    holding, outdated, unknown = split_remarks(remarks, files)
    said = _remarks_from(merge(app, base, verdicts_of(holding)), files)
    about = {remark.id for remark in said}
    return sorted([*said, *(remark for remark in (*outdated, *unknown) if remark.id not in about)])


def count_verdicts(remarks: Sequence[Remark]) -> str:
    """How often each verdict occurs, for a message."""
    return ", ".join(f"{sum(remark.verdict == verdict for remark in remarks)} {verdict}" for verdict in VERDICTS)


def _remarks_from(verdicts: Verdicts, files: Mapping[str, Files]) -> list[Remark]:
    """One remark for each sample with a verdict.

    Raises:
        DatasetError: a sample has more than one.
    """
    torn = sorted(sample for sample, verdict in verdicts.items() if len(verdict) > 1)
    if torn:
        raise DatasetError(
            f"tagged with both {' and '.join(VERDICTS)}: {', '.join(torn)}. A sample that is dropped needs no other "
            f"label: remove one of the tags in the App, then apply again; nothing was written"
        )
    return [Remark(sample, next(iter(verdict)), *files[sample]) for sample, verdict in verdicts.items()]
