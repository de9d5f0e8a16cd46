"""The inspection views of the App as rows of small pictures, for the page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from pipeline.data.classes import ClassTable
from pipeline.data.images import ImageError, read_image
from pipeline.inspection.records import TEACHER, InspectedSample
from pipeline.inspection.views import View, members, value_of, views_of
from pipeline.reporting.formatting import count, number, percent, points
from pipeline.reporting.pictures import Panel, read_panels, shrink

THUMBNAIL_WIDTH = 300  # pixels
LINE = 2  # pixels of a thumbnail


class ShownSample(NamedTuple):
    """One sample of a view."""

    sample: InspectedSample
    value: str  # the value that the view sorts by
    detail: str  # the outlined mistake, or why curation excluded the sample; may be empty
    panels: list[Panel]  # empty if the image cannot be read


class SampleStrip(NamedTuple):
    """A view and its first samples."""

    view: View
    samples: int  # number in the view
    shown: list[ShownSample]


def sample_strips(
    samples: Sequence[InspectedSample], baselines: Mapping[str, str], classes: ClassTable, view_samples: int
) -> list[SampleStrip]:
    """Return each view that has samples, with pictures of its first ones; raises the errors of `read_panels`."""
    strips = []
    for view in views_of(samples):
        found = members(view, samples)
        if view.value == "decision":
            shown = [_rejected(sample) for sample in _of_many_rules(found)[:view_samples]]
        else:
            networks = dict.fromkeys([TEACHER, baselines[view.run], view.run] if view.run else [TEACHER])  # once each
            shown = [_judged(view, sample, networks, classes) for sample in found[:view_samples]]
        strips.append(SampleStrip(view, len(found), shown))
    return strips


def _of_many_rules(dropped: Sequence[InspectedSample]) -> list[InspectedSample]:
    """Order samples by turns: first one of each rule, then the second of each, so that no rule hides the others."""
    by_rules: dict[str, list[InspectedSample]] = {}
    for sample in dropped:
        by_rules.setdefault(" ".join(sample.rules), []).append(sample)
    return [sample for turn in zip_longest(*by_rules.values()) for sample in turn if sample]


def _rejected(sample: InspectedSample) -> ShownSample:
    """Show the image alone; show nothing if it cannot be read, because curation has already reported that."""
    panels = []
    try:
        if "too_large" not in sample.rules:  # may be a decompression bomb, so curation did not decode it either
            panels = [shrink(Panel("image", "", read_image(Path(sample.image)), True), THUMBNAIL_WIDTH)]
    except ImageError:
        pass
    return ShownSample(sample, ", ".join(sample.rules), "; ".join(sample.reasons), panels)


def _judged(view: View, sample: InspectedSample, networks: Iterable[str], classes: ClassTable) -> ShownSample:
    """Show image, labels and predictions; in the view of likely mistakes, outline the worst mistake in each."""
    value = value_of(view, sample) or 0.0  # never None: the sample is a member of the view
    special = {
        "gain": f"{points(100 * value)} points of mIoU",
        "agreement": f"{percent(value)} of pixels agree with the teacher",
        "mistake_score": f"mistake score {number(value, 4)}",
    }
    predictions = {name: (Path(sample.networks[name].prediction), sample.networks[name].miou) for name in networks}
    large = read_panels(sample, predictions, classes)
    panels, detail = [shrink(panel, THUMBNAIL_WIDTH) for panel in large], ""
    if view.value == "mistake_score":
        worst = max(sample.mistakes, key=lambda mistake: mistake.score)
        panels = [_outlined(panel, worst.box, large[0].picture.shape[1]) for panel in panels]
        detail = f"label: {worst.label}, teacher: {worst.prediction}, {count(worst.pixels)} pixels"
    return ShownSample(sample, special.get(view.value, f"{view.value} {number(value)}"), detail, panels)


def _outlined(panel: Panel, box: tuple[int, int, int, int], width: int) -> Panel:
    """Frame a box; its coordinates are those of the image before shrinking, `width` pixels wide.

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
