"""What to look at: the views of the App as rows of small pictures, for people without a server."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from pipeline.data.classes import ClassTable
from pipeline.data.images import ImageError, read_image, read_mask
from pipeline.data.labels import read_train_ids
from pipeline.inspection.records import InspectedSample, Mistake
from pipeline.inspection.views import TEACHER, View, members, value_of, views_of
from pipeline.reporting.pictures import Panel, shrink
from pipeline.reporting.reading import ReportError
from pipeline.reporting.wording import count, number, percent, points

THUMBNAIL_WIDTH = 300  # pixels
LINE = 2  # pixels of a thumbnail


class Shown(NamedTuple):
    """One sample of a view."""

    sample: InspectedSample
    value: str  # why it is here
    detail: str  # what is marked in the pictures, or why curation left it out; may be empty
    panels: list[Panel]  # none where the image cannot be read


class Wall(NamedTuple):
    """A view and the first of its samples."""

    view: View
    samples: int  # in the view
    shown: list[Shown]


def gallery(
    samples: Sequence[InspectedSample], baselines: Mapping[str, str], classes: ClassTable, view_samples: int
) -> list[Wall]:
    """All views that have samples, each with the pictures of its first ones.

    Args:
        samples: as stage inspect left them.
        baselines: of each run.
        classes: for colors and names.
        view_samples: how many of each view are shown.

    Raises:
        ReportError: an image, a mask or a prediction is missing or damaged.
    """
    walls = []
    for view in views_of(samples):
        all_members = members(view, samples)
        chosen = (_of_many_rules(all_members) if view.value == "decision" else all_members)[:view_samples]
        networks = [TEACHER]
        if view.run:
            networks += [view.run] if baselines[view.run] == view.run else [baselines[view.run], view.run]
        walls.append(Wall(view, len(all_members), [_show(view, sample, networks, classes) for sample in chosen]))
    return walls


def _of_many_rules(dropped: Sequence[InspectedSample]) -> list[InspectedSample]:
    """The first that each rule dropped, then the second of each: a rule with many samples shall not hide the others."""
    before: Counter[str] = Counter()
    turns = []
    for sample in dropped:
        rules = " ".join(sample.rules)
        turns.append(before[rules])
        before[rules] += 1
    return [sample for _, sample in sorted(zip(turns, dropped, strict=True), key=lambda pair: pair[0])]


def _show(view: View, sample: InspectedSample, networks: Sequence[str], classes: ClassTable) -> Shown:
    if view.value == "decision":
        return Shown(sample, ", ".join(sample.rules), "; ".join(sample.reasons), _picture_alone(sample))
    worst = max(sample.mistakes, key=lambda mistake: mistake.score) if view.value == "mistake_score" else None
    detail = f"label: {worst.label}, teacher: {worst.prediction}, {count(worst.pixels)} pixels" if worst else ""
    return Shown(sample, _value_in_words(view, sample), detail, _panels(sample, networks, classes, worst))


def _value_in_words(view: View, sample: InspectedSample) -> str:
    value = value_of(view, sample)
    match view.value:
        case "gain":
            return f"{points(None if value is None else 100 * value)} points of mIoU"
        case "agreement":
            return f"{percent(value)} of pixels as the teacher"
        case "mistake_score":
            return f"mistake score {number(value, 4)}"
        case _:
            return f"{view.value} {number(value)}"


def _panels(
    sample: InspectedSample, networks: Sequence[str], classes: ClassTable, marked: Mistake | None
) -> list[Panel]:
    """Image, labels and predictions; `marked` is outlined in each of them."""
    palette = classes.palette()
    try:
        image = Panel("image", "", read_image(Path(sample.image), sample.image_sha256), True)
        labels = [] if sample.mask is None else [read_train_ids(Path(sample.mask), classes, sample.mask_sha256)]
        predictions = {name: read_mask(Path(sample.networks[name].prediction)) for name in networks}
    except ImageError as error:
        raise ReportError(f"{error}; run `dvc repro` in the profile's folder to make it again") from error
    panels = [image, *(Panel("labels", "black: unlabelled", palette[mask], False) for mask in labels)]
    for name, prediction in predictions.items():
        miou = sample.networks[name].miou
        panels.append(Panel(name, "" if miou is None else f"mIoU {percent(miou)}", palette[prediction], False))
    small = [shrink(panel, THUMBNAIL_WIDTH) for panel in panels]
    return [_outlined(panel, marked.box, image.picture.shape[1]) for panel in small] if marked else small


def _picture_alone(sample: InspectedSample) -> list[Panel]:
    """Of a rejected sample: nothing may be missing here that curation has not said to be missing."""
    if "too_large" in sample.rules:  # what curation did not decode may be a bomb
        return []
    try:
        return [shrink(Panel("image", "", read_image(Path(sample.image)), True), THUMBNAIL_WIDTH)]
    except ImageError:
        return []


def _outlined(panel: Panel, box: tuple[int, int, int, int], width: int) -> Panel:
    """Frame a box of an image that was `width` pixels wide before it was shrunk.

    A white line between two black ones is seen on any color, and none of them covers the box.
    """
    picture = Image.fromarray(panel.picture)
    scale = picture.width / width
    left, top = math.floor(scale * box[0]), math.floor(scale * box[1])
    right, bottom = math.ceil(scale * (box[0] + box[2])), math.ceil(scale * (box[1] + box[3]))
    draw = ImageDraw.Draw(picture)
    for color, outside, thickness in (("black", 3 * LINE, 3 * LINE), ("white", 2 * LINE, LINE)):
        frame = (left - outside, top - outside, right + outside - 1, bottom + outside - 1)
        draw.rectangle(frame, outline=color, width=thickness)
    return panel._replace(picture=np.asarray(picture))
