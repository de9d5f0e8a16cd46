"""Which layers stay in floating point: as few as the budget allows, those first whose quantization costs most."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image
from pipeline.data.labels import read_labels
from pipeline.data.samples import Sample
from pipeline.measure.parity import Agreement, Parity, complaints
from pipeline.params.deployment import BudgetParams
from pipeline.quantization.quantizer import Quantizer, Target, open_quantized
from pipeline.runtime import available_threads, open_runner


class Layer(NamedTuple):
    """What it costs to quantize one layer alone; negative where it gains."""

    name: str
    lost_points: float  # of mIoU, on the judged images


class Choice(NamedTuple):
    """The layers that stay in floating point, and what the graph loses then on the judged images."""

    float_layers: tuple[str, ...]
    parity: Parity
    within_budget: bool


class Jury:
    """Judges graphs by their predictions on some labelled images, against those of the source."""

    def __init__(self, samples: Sequence[Sample], classes: ClassTable, boundary_pixels: int, source: Path):
        self.samples = samples
        self.classes = classes
        self.boundary_pixels = boundary_pixels
        with open_runner(source, available_threads()) as runner:
            self.reference = [runner.run(read_image(sample.image, sample.image_sha256)[None])[0] for sample in samples]

    def parity(self, graph: Path, target: Target) -> Parity:
        agreement = Agreement(self.classes, self.boundary_pixels)
        with open_quantized(graph, target) as runner:
            for sample, reference in zip(self.samples, self.reference, strict=True):
                prediction = runner.run(read_image(sample.image, sample.image_sha256)[None])[0]
                agreement.add(sample.id, prediction, reference, read_labels(sample, self.classes))
            return agreement.parity(runner.name)


def judge_layers(quantizer: Quantizer, jury: Jury, title: str) -> list[Layer]:
    """What each layer costs if it, and nothing else, is in int8; dearest first."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "one_layer.onnx"
        found = []
        for name in track(quantizer.layers, f"{title}: judging layers"):
            quantizer.quantize_alone(name, graph)
            found.append(Layer(name, jury.parity(graph, "cpu").miou_lost_points))
    return sorted(found, key=lambda layer: -layer.lost_points)


def choose_layers(
    quantizer: Quantizer,
    target: Target,
    jury: Jury,
    budget: BudgetParams,
    max_float_layers: int,
    dearest: Callable[[], Sequence[Layer]],
) -> Choice:
    """Quantize everything, then leave one more layer in floating point until the budget holds on the judged images.

    Args:
        dearest: judges the layers; called only if quantizing everything is over budget.

    Returns:
        The first choice within the budget, or the one that loses least.
    """
    tried: list[Choice] = []
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "candidate.onnx"
        for count in range(max_float_layers + 1):
            kept = tuple(layer.name for layer in dearest()[:count]) if count else ()
            quantizer.quantize(target, kept, graph)
            parity = jury.parity(graph, target)
            tried.append(Choice(kept, parity, not complaints(parity, budget)))
            if tried[-1].within_budget:
                return tried[-1]
    return min(tried, key=lambda choice: choice.parity.miou_lost_points)
