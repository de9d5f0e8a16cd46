"""Picture grids: what the networks see and say, on the best, the median and the worst images of a run."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from pipeline.data.classes import ClassTable
from pipeline.data.images import ImageError, read_image, read_mask
from pipeline.data.labels import read_labels
from pipeline.data.samples import Sample
from pipeline.reporting.charts import MUTED, STYLE, to_png
from pipeline.reporting.material import TEACHER, Material, Run
from pipeline.reporting.reading import ReportError
from pipeline.reporting.wording import percent

MAX_WIDTH = 480  # pixels; what a page column can show
JPEG_QUALITY = 88
KINDS = ("best", "median", "worst")


class Example(NamedTuple):
    """One image chosen for a grid, and why."""

    kind: str
    id: str


class Predicted(Protocol):
    """What one network said about the images of a split."""

    @property
    def predictions(self) -> Path: ...  # folder of one mask for each sample id

    @property
    def image_scores(self) -> Mapping[str, float | None]: ...  # sample id -> mIoU, 0..1


class Panel(NamedTuple):
    """One picture of a grid."""

    title: str
    caption: str
    picture: np.ndarray  # uint8 (H, W, 3)
    is_photo: bool


class Row(NamedTuple):
    """One example: the image, its labels, and what each network predicts."""

    example: Example
    panels: list[Panel]


def picture_grid(run: Run, material: Material, examples: int) -> list[Row]:
    """Rows for the best, median and worst images by the mIoU of `run`, `examples` of each.

    Raises:
        ReportError: an image, a mask or a prediction is missing, damaged, or of another size.
    """
    compared = {TEACHER: material.teacher, run.params.baseline: material.runs[run.params.baseline].judged}
    compared[run.name] = run.judged
    chosen = choose_examples(run.judged.image_scores, examples)
    if unknown := [example.id for example in chosen if example.id not in material.samples]:
        raise ReportError(
            f"{run.judged.predictions.parent / 'per_image.csv'} names {unknown[0]!r}, which is not in the evaluation "
            f"split; run `dvc repro` in the profile's folder to evaluate {run.name} again"
        )
    return [example_row(example, material.samples[example.id], material.classes, compared) for example in chosen]


def example_row(example: Example, sample: Sample, classes: ClassTable, compared: Mapping[str, Predicted]) -> Row:
    """The image, its labels and what each of `compared` predicts, under their names.

    Raises:
        ReportError: an image, a mask or a prediction is missing, damaged, or of another size.
    """
    palette = classes.palette()
    try:
        image, labels = read_image(sample.image, sample.image_sha256), read_labels(sample, classes)
        predictions = {name: read_mask(judged.predictions / f"{sample.id}.png") for name, judged in compared.items()}
    except ImageError as error:
        raise ReportError(f"{error}; run `dvc repro` in the profile's folder to make it again") from error
    for name, mask in {"labels": labels, **predictions}.items():
        if mask.shape != image.shape[:2]:
            raise ReportError(
                f"{name} of {sample.id} has {mask.shape[0]}x{mask.shape[1]} pixels, the image {image.shape[0]}x"
                f"{image.shape[1]}; run `dvc repro` in the profile's folder to evaluate again"
            )
    panels = [
        Panel("image", f"{example.kind}: {sample.id}", image, True),
        Panel("labels", "black: unlabelled", palette[labels], False),
    ]
    for name, prediction in predictions.items():
        caption = f"mIoU {percent(compared[name].image_scores.get(sample.id))}"
        panels.append(Panel(name, caption, palette[prediction], False))
    return Row(example, panels)


def choose_examples(scores: Mapping[str, float | None], examples: int) -> list[Example]:
    """Pick `examples` ids of each kind by their scores, mIoU by sample id; images without one are passed over.

    No image is picked twice, so a small split gives fewer.
    """
    ranked = sorted(((score, sample_id) for sample_id, score in scores.items() if score is not None), reverse=True)
    ids = [sample_id for _, sample_id in ranked]
    best = ids[:examples]
    worst = ids[max(examples, len(ids) - examples) :]
    start = max(len(best), (len(ids) - examples) // 2)
    median = ids[start : min(start + examples, len(ids) - len(worst))]
    picked = zip(KINDS, (best, median, worst), strict=True)
    return [Example(kind, sample_id) for kind, members in picked for sample_id in members]


def grid_png(rows: Sequence[Row], classes: ClassTable) -> bytes:
    """The whole grid with captions and the legend of classes as one PNG."""
    columns = len(rows[0].panels)
    height, width = rows[0].panels[0].picture.shape[:2]
    legend_rows = -(-len(classes.classes) // (2 * columns))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.3 * columns, len(rows) * (2.3 * height / width + 0.42) + 0.3 * legend_rows + 0.2))
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.04)
        panes = figure.subplots(len(rows), columns, squeeze=False)
        for line, row in zip(panes, rows, strict=True):
            for axes, panel in zip(line, row.panels, strict=True):
                axes.imshow(panel.picture, interpolation="antialiased" if panel.is_photo else "nearest")
                axes.set_title(panel.title, fontsize=8.5, pad=4)
                axes.set_xlabel(panel.caption, fontsize=8, color=MUTED, labelpad=3)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        palette = classes.palette()
        patches = [Patch(facecolor=to_hex(palette[i] / 255), label=c.name) for i, c in enumerate(classes.classes)]
        figure.legend(handles=[*patches, Patch(facecolor="black", label="unlabelled")], loc="outside lower center",
                      ncols=2 * columns, fontsize=8, handlelength=1, handleheight=1)  # fmt: skip
        return to_png(figure)


def shrink(panel: Panel, max_width: int) -> Panel:
    """Make a picture at most so many pixels wide."""
    height, width = panel.picture.shape[:2]
    if width <= max_width:
        return panel
    # Colors of classes must not be mixed into colors that mean another class.
    resampling = Image.Resampling.LANCZOS if panel.is_photo else Image.Resampling.NEAREST
    small = Image.fromarray(panel.picture).resize((max_width, max(1, round(height * max_width / width))), resampling)
    return panel._replace(picture=np.asarray(small))


def encode_panel(panel: Panel) -> tuple[str, bytes]:
    """Make a picture small enough for a page: its media type and bytes."""
    picture = Image.fromarray(shrink(panel, MAX_WIDTH).picture)
    encoded = io.BytesIO()
    if panel.is_photo:
        picture.save(encoded, format="JPEG", quality=JPEG_QUALITY, optimize=True)
        return "image/jpeg", encoded.getvalue()
    picture.save(encoded, format="PNG", optimize=True)
    return "image/png", encoded.getvalue()
