"""Picture grids: images, labels and predictions of the best, the median and the worst images of a run."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.patches import Patch
from PIL import Image

from pipeline.data.classes import ClassTable
from pipeline.data.images import ImageError, read_image, read_mask, read_train_ids
from pipeline.data.samples import Sample
from pipeline.errors import ArtifactError
from pipeline.inspection.records import InspectedSample
from pipeline.reporting.formatting import percent
from pipeline.reporting.style import MUTED, canvas, in_style, to_png

MAX_WIDTH = 480  # pixels; wider than a column of the page
JPEG_QUALITY = 88
REPAIR = "run `dvc repro` in the profile's folder to make it again"


class Predictions(NamedTuple):
    """The predictions of one network on a split."""

    folder: Path  # holds one mask for each sample id
    image_scores: Mapping[str, float | None]  # sample id -> mIoU, 0..1


class Panel(NamedTuple):
    """One picture of a grid."""

    title: str
    caption: str
    picture: np.ndarray  # uint8 (H, W, 3)
    is_photo: bool


class Row(NamedTuple):
    """One example: the image, its labels, and the prediction of each network."""

    kind: str  # why it was chosen
    id: str
    panels: list[Panel]


def example_rows(
    scores: Mapping[str, float | None],
    compared: Mapping[str, Predictions],
    samples: Mapping[str, Sample],
    classes: ClassTable,
    examples: int,
) -> list[Row]:
    """Return rows for the best, median and worst `examples` images by score; raises the errors of `read_panels`."""
    rows = []
    for kind, name in choose_examples(scores, examples):
        predictions = {
            network: (by.folder / f"{name}.png", by.image_scores.get(name)) for network, by in compared.items()
        }
        image, *others = read_panels(samples[name], predictions, classes)
        rows.append(Row(kind, name, [image._replace(caption=f"{kind}: {name}"), *others]))
    return rows


def choose_examples(scores: Mapping[str, float | None], examples: int) -> list[tuple[str, str]]:
    """Choose up to `examples` ids of each kind by score, none twice; images without a score are skipped."""
    ranked = sorted(((score, sample_id) for sample_id, score in scores.items() if score is not None), reverse=True)
    ids = [sample_id for _, sample_id in ranked]
    best = ids[:examples]
    worst = ids[max(examples, len(ids) - examples) :]
    start = max(len(best), (len(ids) - examples) // 2)
    median = ids[start : min(start + examples, len(ids) - len(worst))]
    groups = {"best": best, "median": median, "worst": worst}
    return [(kind, sample_id) for kind, members in groups.items() for sample_id in members]


def read_panels(
    sample: Sample | InspectedSample, predictions: Mapping[str, tuple[Path, float | None]], classes: ClassTable
) -> list[Panel]:
    """Read an image, its labels if it has any, and its predictions.

    Args:
        predictions: the mask's path and the mIoU, by network.

    Raises:
        ArtifactError: a file is missing, damaged, or of another size.
    """
    palette = classes.palette()
    try:
        picture = read_image(Path(sample.image), sample.image_sha256)
        labels = None if sample.mask is None else read_train_ids(Path(sample.mask), classes, sample.mask_sha256)
        masks = {} if labels is None else {"labels": labels}
        masks |= {name: read_mask(path) for name, (path, _) in predictions.items()}
    except ImageError as error:
        raise ArtifactError(f"{error}; {REPAIR}") from error
    captions = {name: "" if miou is None else f"mIoU {percent(miou)}" for name, (_, miou) in predictions.items()}
    panels = [Panel("image", "", picture, True)]
    for name, train_ids in masks.items():
        if train_ids.shape != picture.shape[:2]:
            sizes = ["x".join(map(str, shape)) for shape in (train_ids.shape, picture.shape[:2])]
            raise ArtifactError(f"{name} of {sample.id} has {sizes[0]} pixels, but its image has {sizes[1]}; {REPAIR}")
        panels.append(Panel(name, captions.get(name, "black: unlabelled"), palette[train_ids], False))
    return panels


@in_style()
def grid_png(rows: Sequence[Row], classes: ClassTable) -> bytes:
    """Draw the whole grid with captions and the legend of classes as one PNG."""
    columns = len(rows[0].panels)
    height, width = rows[0].panels[0].picture.shape[:2]
    palette = classes.palette()
    entries = [Patch(facecolor=to_hex(palette[i] / 255), label=c.name) for i, c in enumerate(classes.classes)]
    entries.append(Patch(facecolor="black", label="unlabelled"))
    legend_rows = -(-len(entries) // (2 * columns))
    tall = len(rows) * (2.3 * height / width + 0.42) + 0.3 * legend_rows + 0.2
    figure, panes = canvas(2.3 * columns, tall, len(rows), columns)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.04)
    for axes, panel in zip(panes, [panel for row in rows for panel in row.panels], strict=True):
        axes.imshow(panel.picture, interpolation="antialiased" if panel.is_photo else "nearest")
        axes.set_title(panel.title, fontsize=8.5, pad=4)
        axes.set_xlabel(panel.caption, fontsize=8, color=MUTED, labelpad=3)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    figure.legend(handles=entries, loc="outside lower center", ncols=-(-len(entries) // legend_rows), fontsize=8,
                  handlelength=1, handleheight=1)  # fmt: skip
    return to_png(figure)


def shrink(panel: Panel, max_width: int) -> Panel:
    """Shrink a picture to at most `max_width` pixels."""
    height, width = panel.picture.shape[:2]
    if width <= max_width:
        return panel
    # Class colors must not be mixed into colors that mean another class.
    resampling = Image.Resampling.LANCZOS if panel.is_photo else Image.Resampling.NEAREST
    small = Image.fromarray(panel.picture).resize((max_width, max(1, round(height * max_width / width))), resampling)
    return panel._replace(picture=np.asarray(small))


def encode_panel(panel: Panel) -> tuple[str, bytes]:
    """Shrink and encode a picture for a page; return its media type and bytes."""
    encoded = io.BytesIO()
    options = {"format": "JPEG", "quality": JPEG_QUALITY} if panel.is_photo else {"format": "PNG"}
    Image.fromarray(shrink(panel, MAX_WIDTH).picture).save(encoded, optimize=True, **options)
    return f"image/{options['format'].lower()}", encoded.getvalue()
