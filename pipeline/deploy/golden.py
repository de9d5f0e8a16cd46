"""The golden image: one real image of the evaluation split, and the labels that each precision gives for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pipeline.data.files import replacing
from pipeline.data.images import read_image, write_mask
from pipeline.data.samples import Sample
from pipeline.measure.parity import engine_budget
from pipeline.params.deployment import ParityParams
from pipeline.records.export import Artifact
from pipeline.runtime.artifacts import available_threads, open_artifact
from segdistill_runtime.images import resize

IMAGE = "golden/image.png"


class Golden(NamedTuple):
    """What a target has to reproduce. Paths are those inside the bundle."""

    sample: str  # id of the image in the sample list
    image: np.ndarray  # uint8 (H, W, 3)
    labels: dict[str, str]  # path of the expected labels for each precision
    min_pixel_agreement: dict[str, float]  # 0..1


def write_golden(
    sample: Sample,
    size: tuple[int, int],
    graphs: dict[str, Path],
    accepted: Sequence[Artifact],
    parity: ParityParams,
    bundle: Path,
) -> Golden:
    """Write the image without loss and the labels of each graph, run here with ONNX Runtime.

    The least agreement of a precision allows for two things: a processor that rounds otherwise (its budget), and, since
    an engine is compared with the labels of fp32, what the precision itself changes in this very image.

    Args:
        size: (H, W) of the graphs.
        graphs: file of each precision, fp32 among them.
        accepted: those that go into the bundle.
    """
    image = resize(read_image(sample.image, sample.image_sha256), *size)
    with replacing(bundle / IMAGE) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)
    predicted = {precision: _labels(path, image) for precision, path in graphs.items()}
    paths = {precision: f"golden/labels_{precision}.png" for precision in predicted}
    for precision, path in paths.items():
        with replacing(bundle / path) as temporary:
            write_mask(temporary, predicted[precision])
    full = predicted["fp32"]
    least = {}
    for precision in sorted({"fp32"} | {artifact.precision for artifact in accepted}):
        own = float((predicted[precision] == full).mean()) if precision in predicted else 1.0
        budget = engine_budget(parity, precision).min_pixel_agreement
        least[precision] = own + budget - 1.0
    return Golden(sample.id, image, paths, least)


def _labels(graph: Path, image: np.ndarray) -> np.ndarray:
    with open_artifact(graph, available_threads()) as runner:
        return runner.run(image[None])[0]
