"""How far one artifact agrees with another on the same images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.data.classes import ClassTable
from pipeline.data.images import image_size, read_image, read_mask
from pipeline.data.labels import read_labels
from pipeline.data.samples import Sample
from pipeline.errors import SegdistillError
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.runtime import Runner


class ParityError(SegdistillError):
    """An artifact that does not do what its source does."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Agreement over a whole split."""

    images: int
    pixel_agreement: float  # share of all pixels with the same class, 0..1
    worst_image: str
    worst_agreement: float  # of that image
    reference_miou: float  # 0..1
    miou: float  # 0..1
    miou_difference_points: float  # absolute, in points of 100

    def record(self) -> dict[str, object]:
        return asdict(self)


def require_size(samples: Sequence[Sample], height: int, width: int) -> None:
    """Exported graphs have one size, and an evaluation at another would be a different claim.

    Raises:
        ParityError: an image of the split has another size.
    """
    for sample in samples:
        found = image_size(sample.image)[::-1]
        if found != (height, width):
            raise ParityError(
                f"{sample.image} has {found[0]}x{found[1]} pixels, the exported graph takes {height}x{width}; "
                f"set export.height and export.width in params.yaml to the size of the evaluation images"
            )


def measure_parity(
    runner: Runner, samples: Sequence[Sample], reference: Path, classes: ClassTable, name: str
) -> Parity:
    """Run an artifact over all samples and compare with the predictions that its source made.

    Args:
        reference: folder of the source's predictions, one PNG of train ids for each sample id.
    """
    ours, theirs = ConfusionMatrix(len(classes.classes)), ConfusionMatrix(len(classes.classes))
    agreements: list[float] = []
    for sample in track(samples, f"{name}: parity"):
        prediction = runner.run(read_image(sample.image)[None])[0]
        expected, labels = read_mask(reference / f"{sample.id}.png"), read_labels(sample, classes)
        agreements.append(float((prediction == expected).mean()))
        ours.add(labels, prediction)
        theirs.add(labels, expected)
    worst = int(np.argmin(agreements))
    return Parity(
        images=len(samples),
        pixel_agreement=float(np.mean(agreements)),
        worst_image=samples[worst].id,
        worst_agreement=agreements[worst],
        reference_miou=theirs.miou(),
        miou=ours.miou(),
        miou_difference_points=100 * abs(ours.miou() - theirs.miou()),
    )


def require_parity(
    parity: Parity, what: str, min_pixel_agreement: float | None, max_miou_difference_points: float
) -> None:
    """Block an artifact that is over its budget.

    Raises:
        ParityError: names the artifact, the image that differs most, both numbers and both limits.
    """
    agrees = min_pixel_agreement is None or parity.pixel_agreement >= min_pixel_agreement
    if agrees and parity.miou_difference_points <= max_miou_difference_points:
        return
    limit = "" if min_pixel_agreement is None else f" (at least {min_pixel_agreement:.4%})"
    raise ParityError(
        f"{what} disagrees with its source: {parity.pixel_agreement:.4%} of pixels equal{limit}, mIoU differs by "
        f"{parity.miou_difference_points:.4f} points (at most {max_miou_difference_points}); worst image "
        f"{parity.worst_image} with {parity.worst_agreement:.4%}. Usual causes: a resize with other alignment, "
        f"BatchNorm left in training mode, weights outside the precision's range"
    )
