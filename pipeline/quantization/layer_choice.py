"""Choose the layers that stay in floating point: as few as the budget allows, the most sensitive first."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image, read_labels
from pipeline.data.samples import Sample
from pipeline.measure.parity import Agreement, complaints
from pipeline.params.deployment import BudgetParams
from pipeline.quantization.quantizer import Quantizer, Target, open_quantized
from pipeline.records.artifacts import LayerChoice, LayerLoss, Parity
from pipeline.runtime.artifacts import open_artifact
from pipeline.threads import available_threads
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import Runner


class LayerSensitivity:
    """Measurement of quantized graphs on some labelled images, compared with the float graph `source`."""

    def __init__(
        self, samples: Sequence[Sample], classes: ClassTable, boundary_pixels: int, source: Path, resizing: Resizing
    ):
        self.samples, self.classes, self.boundary_pixels = samples, classes, boundary_pixels
        self.resizing = resizing
        with open_artifact(source, available_threads()) as runner:
            self.reference = [self._prediction(runner, sample) for sample in samples]

    def _prediction(self, runner: Runner, sample: Sample) -> np.ndarray:
        return self.resizing.segment(runner.run, [read_image(sample.image, sample.image_sha256)])[0]

    def parity(self, graph: Path, target: Target) -> Parity:
        agreement = Agreement(self.classes, self.boundary_pixels)
        with open_quantized(graph, target) as runner:
            for sample, reference in zip(self.samples, self.reference, strict=True):
                prediction = self._prediction(runner, sample)
                agreement.add(sample.id, prediction, reference, read_labels(sample, self.classes))
            return agreement.parity(runner.name)

    def of_layers(self, quantizer: Quantizer, title: str) -> list[LayerLoss]:
        """Quantize each layer alone and return the points of mIoU that it loses, largest loss first."""
        with tempfile.TemporaryDirectory() as folder:
            graph, found = Path(folder) / "one_layer.onnx", []
            for name in track(quantizer.layers, f"{title}: layer sensitivity"):
                quantizer.quantize_alone(name, graph)
                found.append(LayerLoss(name=name, lost_points=self.parity(graph, "cpu").miou_lost_points))
        return sorted(found, key=lambda layer: -layer.lost_points)


def choose_layers(
    quantizer: Quantizer, target: Target, sensitivity: LayerSensitivity, budget: BudgetParams,
    max_float_layers: int, most_sensitive: Callable[[], Sequence[LayerLoss]], graph: Path,
) -> LayerChoice:  # fmt: skip
    """Write `graph` with as few layers in floating point as its budget allows, and return the choice.

    Each try keeps one more layer in floating point. If no try is within the budget, the one that loses least is
    written. `most_sensitive` lists layers, largest loss first; it is called only if full int8 is over budget.
    """
    tried: list[LayerChoice] = []
    for count in range(max_float_layers + 1):
        kept = [layer.name for layer in most_sensitive()[:count]] if count else []
        quantizer.quantize(target, kept, graph)
        parity = sensitivity.parity(graph, target)
        tried.append(LayerChoice(float_layers=kept, within_budget=not complaints(parity, budget), parity=parity))
        if tried[-1].within_budget:
            return tried[-1]
    best = min(tried, key=lambda choice: choice.parity.miou_lost_points)
    if best is not tried[-1]:
        quantizer.quantize(target, best.float_layers, graph)
    return best
