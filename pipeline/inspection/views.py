"""Define the views of a dataset and its networks, which are the same in the App and in the report."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipeline.inspection.records import TEACHER, InspectedSample

MISLABELLED = (
    "In a region of the mask, the teacher is sure of another class: the label or the teacher is wrong. "
    "The teacher doubts labels less if it was trained on them."
)


class View(NamedTuple):
    """Samples sorted by one of their values, the most remarkable first."""

    name: str  # unique
    shows: str  # a sentence for a caption
    value: Literal["hardness", "mistake_score", "agreement", "gain", "decision"]  # of the sample, or of the run
    run: str  # empty if the value is of the sample itself
    largest_first: bool
    sign: Literal[-1, 0, 1]  # only samples whose value has this sign; 0: all that have a value


def views_of(samples: Sequence[InspectedSample]) -> list[View]:
    """Return all views in which these samples occur; the views of runs are in the order of the runs."""
    runs = list(dict.fromkeys(run for sample in samples for run in sample.networks if run != TEACHER))
    views = [
        View("hardest", "The teacher is least sure about these samples.", "hardness", "", True, 0),
        View("likely mislabelled", MISLABELLED, "mistake_score", "", True, 1),
    ]
    for run in runs:
        views += [
            View(f"{run}: most gained", "Here it gains most over its baseline.", "gain", run, True, 1),
            View(f"{run}: most lost", "Here it loses most against its baseline.", "gain", run, False, -1),
            View(f"{run}: unlike the teacher", "Here it disagrees most with the teacher.", "agreement", run, False, 0),
        ]
    views.append(View("rejected", "Curation excluded these samples.", "decision", "", True, 0))
    return [view for view in views if members(view, samples)]


def members(view: View, samples: Sequence[InspectedSample]) -> list[InspectedSample]:
    """Return the samples of a view in its order; ties are in the order of the list."""
    if view.value == "decision":
        return [sample for sample in samples if sample.decision == "drop"]
    found = [(value, sample) for sample in samples if (value := value_of(view, sample)) is not None]
    chosen = [(value, sample) for value, sample in found if not view.sign or view.sign * value > 0]
    return [sample for _, sample in sorted(chosen, key=lambda pair: pair[0], reverse=view.largest_first)]


def value_of(view: View, sample: InspectedSample) -> float | None:
    """Return the number that a view sorts by; None if the sample has none."""
    value = getattr(sample.networks.get(view.run) if view.run else sample, view.value, None)
    return value if isinstance(value, float | int) else None
