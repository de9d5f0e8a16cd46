"""The fields of a sample in the App: their names, what they mean and where they stand in the sidebar."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.errors import ParamsError
from pipeline.inspection.pictures import GROUND_TRUTH
from pipeline.inspection.records import InspectedSample, NetworkScores
from pipeline.inspection.views import View

MISTAKES = "label_mistakes"
Value = float | str | list[str] | None

QUALITIES = {
    "miou": "mIoU on this sample, 0..1",
    "pixel_accuracy": "share of labelled pixels predicted right",
    "boundary_error": "error near the borders of labelled regions, 0..1",
    "agreement": "share of pixels on which the teacher says the same",
    "gain": "mIoU minus that of the baseline, -1..1",
}
CURATION = {
    "decision": "keep or drop",
    "rules": "curation's rules that have something to say",
    "reasons": "what each of them says",
    "hardness": "how unsure the teacher is, 0..1",
    "mistake_score": "of the region whose label the teacher is surest is wrong; 0: none",
    "sequence": "frames of one video share it",
}
FILES = {
    "name": "id in the sample list",
    "image_sha256": "of the image's bytes",
    "mask_sha256": "of the mask's bytes",
}
OF_FIFTYONE = ("id", "filepath", "tags", "metadata", "created_at", "last_modified_at")


class Column(NamedTuple):
    """One field of all samples; every value is a float, a string or a list of strings, or None."""

    name: str
    meaning: str
    values: list[Value]


class Group(NamedTuple):
    """A group of the sidebar."""

    name: str
    fields: list[str]
    expanded: bool


def columns(samples: Sequence[InspectedSample]) -> list[Column]:
    """All fields but pictures and regions, without those that no sample has a value for.

    Raises:
        ParamsError: a run is named so that two fields would have one name.
    """
    found = [
        Column(quality_field(network, quality), meaning, [_quality(s.networks.get(network), quality) for s in samples])
        for network in networks_of(samples)
        for quality, meaning in QUALITIES.items()
    ]
    found += [Column(name, meaning, [getattr(s, name) for s in samples]) for name, meaning in CURATION.items()]
    found += [Column(name, meaning, [_file_value(s, name) for s in samples]) for name, meaning in FILES.items()]
    names = [column.name for column in found] + [*networks_of(samples), GROUND_TRUTH, MISTAKES, *OF_FIFTYONE]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParamsError(
            f"two fields of the App would be called {', '.join(twice)}; give the run another name in params.yaml"
        )
    return [column for column in found if any(value is not None for value in column.values)]


def networks_of(samples: Sequence[InspectedSample]) -> list[str]:
    return list(dict.fromkeys(network for sample in samples for network in sample.networks))


def quality_field(network: str, quality: str) -> str:
    return f"{network}_{quality}"


def view_field(view: View) -> str:
    """The field that a view sorts or matches by."""
    return quality_field(view.run, view.value) if view.run else view.value


def sidebar(networks: Sequence[str], fields: Sequence[str]) -> list[Group]:
    """Groups in the order of the sidebar, of those `fields` that exist.

    Args:
        networks: the ground truth goes before their predictions.
        fields: names of all fields.
    """
    present = set(fields)
    groups = [
        Group("tags", [], True),
        Group("truth and predictions", [GROUND_TRUTH, MISTAKES, *networks], True),
        Group("curation", list(CURATION), True),
        *(Group(f"quality of {n}", [quality_field(n, quality) for quality in QUALITIES], False) for n in networks),
        Group("metadata", [*FILES, *(name for name in OF_FIFTYONE if name != "tags")], False),
    ]
    existing = [group._replace(fields=[name for name in group.fields if name in present]) for group in groups]
    return [group for group in existing if group.fields or group.name == "tags"]


def _quality(scores: NetworkScores | None, quality: str) -> float | None:
    return None if scores is None else getattr(scores, quality)


def _file_value(sample: InspectedSample, name: str) -> str:
    return sample.id if name == "name" else getattr(sample, name)
