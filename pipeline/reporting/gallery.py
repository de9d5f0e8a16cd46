"""The inspection views of the App as rows of small pictures, for the page."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from pipeline.data.classes import ClassTable
from pipeline.data.images import ImageError, read_image
from pipeline.inspection.records import TEACHER, InspectedSample, Mistake
from pipeline.inspection.views import View, members, value_of, views_of
from pipeline.reporting.formatting import count, number, percent, points
from pipeline.reporting.pictures import Panel, read_panels, shrink

THUMBNAIL_WIDTH = 300  # pixels
LINE = 2  # pixels of a thumbnail


class ShownSample(NamedTuple):
    """One sample of a view."""

    sample: InspectedSample
    value: str  # that the view sorts by
    detail: str  # what is outlined in the pictures, or why curation excluded it; may be empty
    panels: list[Panel]  # empty if the image cannot be read


class SampleStrip(NamedTuple):
    """A view and its first samples."""

    view: View
    samples: int  # in the view
    shown: list[ShownSample]


def sample_strips(
    samples: Sequence[InspectedSample], baselines: Mapping[str, str], classes: ClassTable, view_samples: int
) -> list[SampleStrip]:
    """Return all views that have samples, each with the pictures of its first ones.

    Args:
        samples: as stage inspect wrote them.
        baselines: of each run.
        classes: for colors and names.
        view_samples: number of samples shown in each view.

    Raises:
        ArtifactError: an image, a mask or a prediction is missing or damaged.
    """
    strips = []
    for view in views_of(samples):
        all_members = members(view, samples)
        chosen = (_of_many_rules(all_members) if view.value == "decision" else all_members)[:view_samples]
        networks = [TEACHER]
        if view.run:
            networks += dict.fromkeys([baselines[view.run], view.run])  # once each: a baseline is its own
        strips.append(
            SampleStrip(view, len(all_members), [_show(view, sample, networks, classes) for sample in chosen])
        )
    return strips


def _of_many_rules(dropped: Sequence[InspectedSample]) -> list[InspectedSample]:
    """Order by turns: the first sample of each rule, then the second of each, so that no rule hides the others."""
    before: Counter[str] = Counter()
    turns = []
    for sample in dropped:
        rules = " ".join(sample.rules)
        turns.append(before[rules])
        before[rules] += 1
    return [sample for _, sample in sorted(zip(turns, dropped, strict=True), key=lambda pair: pair[0])]


def _show(view: View, sample: InspectedSample, networks: Sequence[str], classes: ClassTable) -> ShownSample:
    if view.value == "decision":
        return ShownSample(sample, ", ".join(sample.rules), "; ".join(sample.reasons), _image_only(sample))
    worst = max(sample.mistakes, key=lambda mistake: mistake.score) if view.value == "mistake_score" else None
    detail = f"label: {worst.label}, teacher: {worst.prediction}, {count(worst.pixels)} pixels" if worst else ""
    return ShownSample(sample, _format_value(view, sample), detail, _panels(sample, networks, classes, worst))


def _format_value(view: View, sample: InspectedSample) -> str:
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
    predictions = {name: (Path(sample.networks[name].prediction), sample.networks[name].miou) for name in networks}
    panels = read_panels(sample, predictions, classes)
    small = [shrink(panel, THUMBNAIL_WIDTH) for panel in panels]
    return [_outlined(panel, marked.box, panels[0].picture.shape[1]) for panel in small] if marked else small


def _image_only(sample: InspectedSample) -> list[Panel]:
    """The image of a rejected sample, if it can be read: curation has reported it already if it cannot."""
    if "too_large" in sample.rules:  # may be a decompression bomb, so curation did not decode it either
        return []
    try:
        return [shrink(Panel("image", "", read_image(Path(sample.image)), True), THUMBNAIL_WIDTH)]
    except ImageError:
        return []


def _outlined(panel: Panel, box: tuple[int, int, int, int], width: int) -> Panel:
    """Frame a box of an image that was `width` pixels wide before it was shrunk.

    A white line between two black ones is visible on any color, and the frame never covers the box.
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
