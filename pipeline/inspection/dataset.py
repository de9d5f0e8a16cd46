"""Build the FiftyOne dataset from inspection's records. Only this module and app.py use FiftyOne.

The database can be rebuilt at any time. Only it holds the tags and views that people saved in the App; app.py keeps
these in a rebuild.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
from fiftyone import ViewField

from pipeline.errors import ParamsError
from pipeline.inspection.inputs import GROUND_TRUTH, OUTSIDE, Inputs
from pipeline.inspection.records import InspectedSample, Mistake
from pipeline.inspection.views import View, views_of

Dataset = Any  # FiftyOne's documents get their attributes at run time: its declarations mislead a type checker
BRAIN_KEY = "teacher_features"
WORKSPACE = "embeddings"
REJECTED = "rejected"
MISTAKES = "label_mistakes"
OPACITY = 0.5  # the classes are clear, and the image below is still visible
OUTSIDE_COLOR = "#ff00ff"
MISTAKE_COLOR = "#ff7800"  # the App writes names on it in white

QUALITIES = {
    "miou": "mIoU on this sample, over the classes of its labels, 0..1",
    "pixel_accuracy": "share of labelled pixels predicted correctly",
    "boundary_error": "error near the borders of labelled regions, 0..1",
    "agreement": "share of pixels with the same class as the teacher's",
    "gain": "mIoU minus that of the baseline, -1..1",
}
CURATION = {
    "decision": "keep or drop",
    "rules": "rules of curation that the sample fails",
    "reasons": "the reason of each of these rules",
    "hardness": "how unsure the teacher is, 0..1",
    "mistake_score": "highest score of a likely label mistake, 0..1; 0: none",
    "sequence": "name that the frames of one video share",
}
FILES = {"name": "id in the sample list", "image_sha256": "of the image file", "mask_sha256": "of the mask file"}
OF_FIFTYONE = ("id", "filepath", "tags", "metadata", "created_at", "last_modified_at")


def build(dataset: Dataset, inputs: Inputs, tags: Mapping[str, Sequence[str]]) -> None:
    """Fill an empty dataset; `tags` are the tags that people gave, by sample id."""
    samples, networks = inputs.samples, networks_of(inputs.samples)
    entries = []
    for sample in samples:
        image = inputs.pictures[sample.id].get("image", Path(sample.image).absolute())
        facts = [sample.split, *([REJECTED] if sample.decision == "drop" else [])]
        entries.append(fo.Sample(filepath=str(image), tags=[*facts, *tags.get(sample.id, ())]))
        if sample.size is not None:
            entries[-1]["metadata"] = fo.ImageMetadata(height=sample.size[0], width=sample.size[1])
    dataset.add_samples(entries, progress=False)
    for name, meaning, values in columns(samples):
        first = next(value for value in values if value is not None)
        kind = {float: fo.FloatField, int: fo.FloatField, str: fo.StringField, list: fo.ListField}[type(first)]
        inner = {"subfield": fo.StringField} if kind is fo.ListField else {}
        dataset.add_sample_field(name, kind, description=meaning, **inner)
        dataset.set_values(name, values, progress=False)
    for field in (GROUND_TRUTH, *networks):
        paths = [inputs.pictures[sample.id].get(field) for sample in samples]
        labels = [None if path is None else fo.Segmentation(mask_path=str(path)) for path in paths]
        meaning = "labels of the dataset" if field == GROUND_TRUTH else f"labels that {field} predicts"
        _add_labels(dataset, field, fo.Segmentation, meaning, labels)
    meaning = "regions where the teacher is sure of another class than the label"
    _add_labels(dataset, MISTAKES, fo.Detections, meaning, [_regions(sample) for sample in samples])
    _arrange(dataset, inputs)
    _add_embeddings(dataset, samples)
    for view in views_of(samples):
        dataset.save_view(view.name, _stages(dataset, view), description=view.shows)


def networks_of(samples: Iterable[InspectedSample]) -> list[str]:
    return list(dict.fromkeys(network for sample in samples for network in sample.networks))


def columns(samples: Sequence[InspectedSample]) -> list[tuple[str, str, list[Any]]]:
    """Return name, meaning and values of the fields that have values; raise ParamsError if two names are equal."""
    networks = networks_of(samples)
    found = [
        (f"{network}_{quality}", meaning, [getattr(s.networks.get(network), quality, None) for s in samples])
        for network in networks
        for quality, meaning in QUALITIES.items()
    ]
    for name, meaning in {**CURATION, **FILES}.items():
        found.append((name, meaning, [getattr(sample, "id" if name == "name" else name) for sample in samples]))
    names = [name for name, _, _ in found] + [*networks, GROUND_TRUTH, MISTAKES, *OF_FIFTYONE]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParamsError(
            f"two fields of the App would have the name {', '.join(twice)}; rename the run in params.yaml"
        )
    return [column for column in found if any(value is not None for value in column[2])]


def sidebar(networks: Sequence[str], fields: Iterable[str]) -> list[Any]:
    """Return the groups of the sidebar in their order, with the fields that exist."""
    groups: dict[str, Iterable[str]] = {
        "truth and predictions": (GROUND_TRUTH, MISTAKES, *networks),
        "curation": CURATION,
        **{f"quality of {network}": [f"{network}_{quality}" for quality in QUALITIES] for network in networks},
        "metadata": (*FILES, *(name for name in OF_FIFTYONE if name != "tags")),
    }
    existing = {name: [path for path in paths if path in set(fields)] for name, paths in groups.items()}
    return [fo.SidebarGroupDocument(name="tags", paths=[], expanded=True)] + [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name in ("truth and predictions", "curation"))
        for name, paths in existing.items()
        if paths
    ]


def _add_labels(dataset: Dataset, name: str, kind: type, meaning: str, labels: Sequence[Any]) -> None:
    dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind, description=meaning)
    dataset.set_values(name, labels, progress=False)


def _regions(sample: InspectedSample) -> fo.Detections | None:
    if sample.size is None or not sample.mistakes:
        return None
    height, width = sample.size
    regions = []
    for mistake in sample.mistakes:
        left, top, across, down = mistake.box
        box, label = [left / width, top / height, across / width, down / height], _region_label(mistake)
        regions.append(fo.Detection(label=label, bounding_box=box, confidence=mistake.score, pixels=mistake.pixels))
    return fo.Detections(detections=regions)


def _region_label(mistake: Mistake) -> str:
    return f"{mistake.label} -> {mistake.prediction}"


def _arrange(dataset: Dataset, inputs: Inputs) -> None:
    """Set the fields that are shown at first, the colors, and the order of the sidebar."""
    classes = inputs.classes.classes
    names = {i: of_class.name for i, of_class in enumerate(classes, start=1)}
    dataset.default_mask_targets = {**names, OUTSIDE: "not in the class table"}
    colors = {i: "#{:02x}{:02x}{:02x}".format(*of_class.color) for i, of_class in enumerate(classes, start=1)}
    colors[OUTSIDE] = OUTSIDE_COLOR
    labels = sorted({_region_label(mistake) for sample in inputs.samples for mistake in sample.mistakes})
    regions = {  # one color for all, different from every class; the App's own choice may be black on black
        "path": MISTAKES,
        "fieldColor": MISTAKE_COLOR,
        "colorByAttribute": "label",
        "valueColors": [{"value": label, "color": MISTAKE_COLOR} for label in labels],
    }
    dataset.app_config.color_scheme = fo.ColorScheme(
        color_by="value",
        opacity=OPACITY,
        default_mask_targets_colors=[{"intTarget": i, "color": color} for i, color in colors.items()],
        fields=[regions],
    )
    dataset.app_config.active_fields = fo.ActiveFields(exclude=False, paths=[GROUND_TRUTH, MISTAKES, "rules"])
    dataset.app_config.sidebar_groups = sidebar(networks_of(inputs.samples), dataset.get_field_schema())


def _add_embeddings(dataset: Dataset, samples: Sequence[InspectedSample]) -> None:
    """Add the plot of the teacher's features, and a workspace that shows it beside the grid."""
    ids = dataset.values("id")
    points = {i: s.position for i, s in zip(ids, samples, strict=True) if s.position is not None}
    if not points:
        return
    fob.compute_visualization(dataset.select(list(points)), points=np.array(list(points.values())), brain_key=BRAIN_KEY)
    grid = fo.Panel(type="Samples", pinned=True)
    plot = fo.Panel(type="Embeddings")  # lists its plots: one click shows the only one
    # A panel without an active child stays empty.
    halves = [fo.Space(children=[panel], active_child=panel.component_id) for panel in (grid, plot)]
    space = fo.Space(children=halves, orientation="horizontal")
    dataset.save_workspace(WORKSPACE, space, description="the grid beside the plot of the teacher's features")


def _stages(dataset: Dataset, view: View) -> Dataset:
    """Return a view as FiftyOne's own stages; ties are in the order of the samples."""
    if view.value == "decision":
        return dataset.match(ViewField("decision") == "drop")
    field = f"{view.run}_{view.value}" if view.run else view.value
    known = dataset.exists(field)  # for MongoDB, a missing value is less than 0
    members = known.match(ViewField(field) * view.sign > 0) if view.sign else known
    return members.sort_by([(field, -1 if view.largest_first else 1), ("id", 1)])
