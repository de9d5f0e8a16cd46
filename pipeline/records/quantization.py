"""reports/metrics/quantize/RUN.json: the int8 ONNX files of a run, how they were made, and their parity."""

from pipeline.records.export import Artifact
from pipeline.records.files import record
from pipeline.records.parity import Parity


@record
class Calibration:
    images: int
    clip_percentile: float  # of the activations; 100: nothing is clipped
    sha256: str  # of calibration.csv, the list of images


@record
class LayerLoss:
    """Accuracy lost if one layer alone is in int8; negative for a gain."""

    name: str
    lost_points: float  # of mIoU, on the images that layers are measured on


@record
class LayerChoice:
    """The layers of one int8 graph that stay in floating point, and the parity on the images they were chosen on."""

    float_layers: list[str]
    within_budget: bool
    parity: Parity


@record
class FineTuning:
    """Quantization-aware training after calibration."""

    iterations: int
    learning_rate: float


@record
class Int8Recipe:
    """How the int8 files were made."""

    calibration: Calibration
    judged_on: str  # split that the layers were chosen on
    layers: list[LayerLoss]  # largest loss first; empty if layers were not measured one by one
    choices: dict[str, LayerChoice]  # by target: cpu, tensorrt
    fine_tuned: bool
    fine_tuning: FineTuning | None


@record
class Quantization(Int8Recipe):
    run: str
    artifacts: list[Artifact]
