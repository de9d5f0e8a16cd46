"""The FiftyOne dataset that is made from what inspection knows. Beside app.py the only door to FiftyOne.

The database is a view that can be built anew at any time; what only it knows, what people tagged and saved in the App,
is carried over by app.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
from fiftyone import ViewField

from pipeline.data.classes import ClassTable
from pipeline.inspection.fields import MISTAKES, columns, networks_of, sidebar, view_field
from pipeline.inspection.inputs import Inputs
from pipeline.inspection.pictures import GROUND_TRUTH, OUTSIDE
from pipeline.inspection.records import InspectedSample, Mistake
from pipeline.inspection.views import View, views_of

Dataset = Any
"""FiftyOne's documents get their attributes at run time: what is declared of them would mislead a type checker."""

BRAIN_KEY = "teacher_features"
WORKSPACE = "embeddings"
REJECTED = "rejected"
OPACITY = 0.5  # the classes are plain and the picture below still readable
OUTSIDE_COLOR = "#ff00ff"
MISTAKE_COLOR = "#ff7800"  # names stand on it in white


def build(dataset: Dataset, inputs: Inputs, tags: Mapping[str, Sequence[str]]) -> None:
    """Fill an empty dataset.

    Args:
        tags: that people gave, by sample id; the split and whether it was rejected are added.
    """
    _add_samples(dataset, inputs, tags)
    _add_fields(dataset, inputs.samples)
    _add_pictures(dataset, inputs)
    _add_mistakes(dataset, inputs.samples)
    _arrange(dataset, inputs)
    _add_embeddings(dataset, inputs.samples)
    for view in views_of(inputs.samples):
        dataset.save_view(view.name, _stages(dataset, view), description=view.shows)


def mask_colors(classes: ClassTable) -> list[dict[str, Any]]:
    """The class table's colors for the App's ids."""
    colors = [
        {"intTarget": i + 1, "color": "#{:02x}{:02x}{:02x}".format(*c.color)} for i, c in enumerate(classes.classes)
    ]
    return [*colors, {"intTarget": OUTSIDE, "color": OUTSIDE_COLOR}]


def _add_samples(dataset: Dataset, inputs: Inputs, tags: Mapping[str, Sequence[str]]) -> None:
    added = []
    for sample in inputs.samples:
        facts = [sample.split, *([REJECTED] if sample.decision == "drop" else [])]
        image = inputs.pictures[sample.id].get("image", Path(sample.image).absolute())
        entry = fo.Sample(filepath=str(image), tags=facts + list(tags.get(sample.id, ())))
        if sample.size is not None:
            entry["metadata"] = fo.ImageMetadata(height=sample.size[0], width=sample.size[1])
        added.append(entry)
    dataset.add_samples(added, progress=False)


def _add_fields(dataset: Dataset, samples: Sequence[InspectedSample]) -> None:
    for column in columns(samples):
        first = next(value for value in column.values if value is not None)
        kind = {float: fo.FloatField, int: fo.FloatField, str: fo.StringField, list: fo.ListField}[type(first)]
        inner = {"subfield": fo.StringField} if kind is fo.ListField else {}
        dataset.add_sample_field(column.name, kind, description=column.meaning, **inner)
        dataset.set_values(column.name, column.values, progress=False)


def _add_pictures(dataset: Dataset, inputs: Inputs) -> None:
    for field in (GROUND_TRUTH, *networks_of(inputs.samples)):
        paths = [inputs.pictures[sample.id].get(field) for sample in inputs.samples]
        meaning = "labels of the dataset" if field == GROUND_TRUTH else f"what {field} predicts"
        _add_label_field(dataset, field, fo.Segmentation, meaning)
        labels = [None if path is None else fo.Segmentation(mask_path=str(path)) for path in paths]
        dataset.set_values(field, labels, progress=False)


def _add_mistakes(dataset: Dataset, samples: Sequence[InspectedSample]) -> None:
    _add_label_field(dataset, MISTAKES, fo.Detections, "regions whose label the teacher is sure is wrong")
    dataset.set_values(MISTAKES, [_regions(sample) for sample in samples], progress=False)


def _add_label_field(dataset: Dataset, name: str, kind: type, meaning: str) -> None:
    dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind, description=meaning)


def _regions(sample: InspectedSample) -> fo.Detections | None:
    if sample.size is None or not sample.mistakes:
        return None
    height, width = sample.size
    regions = []
    for mistake in sample.mistakes:
        left, top, across, down = mistake.box
        box = [left / width, top / height, across / width, down / height]
        label = _region_label(mistake)
        regions.append(fo.Detection(label=label, bounding_box=box, confidence=mistake.score, pixels=mistake.pixels))
    return fo.Detections(detections=regions)


def _region_label(mistake: Mistake) -> str:
    return f"{mistake.label} -> {mistake.prediction}"


def _arrange(dataset: Dataset, inputs: Inputs) -> None:
    """What is drawn at once, in which colors, and the order of the sidebar."""
    names = {i + 1: name for i, name in enumerate(inputs.classes.names)}
    dataset.default_mask_targets = {**names, OUTSIDE: "not in the class table"}
    config = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="value",
        opacity=OPACITY,
        default_mask_targets_colors=mask_colors(inputs.classes),
        fields=[_mistake_colors(inputs.samples)],
    )
    config.active_fields = fo.ActiveFields(exclude=False, paths=[GROUND_TRUTH, MISTAKES, "rules"])
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name=group.name, paths=group.fields, expanded=group.expanded)
        for group in sidebar(networks_of(inputs.samples), list(dataset.get_field_schema()))
    ]


def _mistake_colors(samples: Sequence[InspectedSample]) -> dict[str, Any]:
    """One color for all regions, none of a class: by value they would get any, black on black among them."""
    labels = sorted({_region_label(mistake) for sample in samples for mistake in sample.mistakes})
    return {
        "path": MISTAKES,
        "fieldColor": MISTAKE_COLOR,
        "colorByAttribute": "label",
        "valueColors": [{"value": label, "color": MISTAKE_COLOR} for label in labels],
    }


def _add_embeddings(dataset: Dataset, samples: Sequence[InspectedSample]) -> None:
    """The plot of the teacher's features, and a workspace that shows it beside the grid."""
    ids = dataset.values("id")
    points = {i: s.position for i, s in zip(ids, samples, strict=True) if s.position is not None}
    if not points:
        return
    fob.compute_visualization(dataset.select(list(points)), points=np.array(list(points.values())), brain_key=BRAIN_KEY)
    grid = fo.Panel(type="Samples", pinned=True)
    plot = fo.Panel(type="Embeddings")  # lists its plots: one click shows the one there is
    # Without an active child a panel stays empty.
    halves = [fo.Space(children=[panel], active_child=panel.component_id) for panel in (grid, plot)]
    space = fo.Space(children=halves, orientation="horizontal")
    dataset.save_workspace(WORKSPACE, space, description="the grid beside the plot of the teacher's features")


def _stages(dataset: Dataset, view: View) -> Dataset:
    """A view as FiftyOne's own stages, ties in the order of the samples."""
    if view.value == "decision":
        return dataset.match(ViewField("decision") == "drop")
    field = view_field(view)
    value = ViewField(field)
    known = dataset.exists(field)  # to MongoDB nothing is less than 0
    members = {0: known, 1: known.match(value > 0), -1: known.match(value < 0)}[view.sign]
    return members.sort_by([(field, -1 if view.largest_first else 1), ("id", 1)])
