"""The deployable files of a run, as reports/metrics/{export,quantize,engine}/RUN.json describe them."""

from typing import Literal

from pipeline.params.sections import Precision
from pipeline.records.files import record


@record
class Parity:
    """The agreement of labels with the checkpoint's, over a split. Lost points are of 100, and negative for a gain."""

    runtime: str  # runtime whose labels were compared
    images: int
    pixel_agreement: float  # share of all pixels with the same class, 0..1
    boundary_agreement: float | None  # the same near class boundaries; None if there are none
    worst_image: str
    worst_agreement: float  # of that image
    reference_miou: float  # of the checkpoint, 0..1
    miou: float  # 0..1
    miou_lost_points: float
    worst_class: str  # the class whose IoU lost most
    worst_class_lost_points: float


@record
class Artifact:
    """One ONNX file, and its parity on one runtime; a file has a second record for OpenVINO."""

    file: str  # name in the stage's folder
    precision: Precision
    runtimes: list[str]  # runtimes that it is made for
    bytes: int
    sha256: str
    status: Literal["accepted", "rejected"]
    reason: str  # why rejected
    parity: Parity

    @property
    def is_full(self) -> bool:
        """Return whether this is the fp32 graph, run by ONNX Runtime."""
        return (self.precision, self.parity.runtime) == ("fp32", "onnxruntime")


@record
class Activations:
    """The largest activation of a graph, compared with the range of float16."""

    images: int  # number of images that were scanned
    magnitude: float
    layer: str
    finite: bool  # neither NaN nor infinite anywhere
    limit_of_fp16: float


@record
class Export:
    """The float ONNX files of a run."""

    run: str
    opset: int
    ir_version: int
    nodes: int
    operators: list[str]
    max_logit_difference: float  # from PyTorch
    activations: Activations  # of the fp32 graph
    artifacts: list[Artifact]

    @property
    def full(self) -> Artifact:
        """Return the fp32 graph, run by ONNX Runtime; every export has one."""
        return next(artifact for artifact in self.artifacts if artifact.is_full)


@record
class Calibration:
    images: int
    clip_percentile: float  # of the activations; 100: nothing is clipped
    sha256: str  # of calibration.csv, the list of images


@record
class LayerLoss:
    """Accuracy lost if one layer alone is in int8; negative for a gain."""

    name: str
    lost_points: float  # of mIoU, on the judged images


@record
class LayerChoice:
    """The layers of one int8 graph that stay in floating point, and the parity on the judged images."""

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
    judged_on: str  # split of the judged images
    layers: list[LayerLoss]  # largest loss first; empty if layers were not measured one by one
    choices: dict[str, LayerChoice]  # by target: cpu, tensorrt
    fine_tuned: bool
    fine_tuning: FineTuning | None


@record
class Quantization(Int8Recipe):
    """The int8 ONNX files of a run."""

    run: str
    artifacts: list[Artifact]


@record
class Engine:
    """One TensorRT engine, or the reason why it was not built."""

    precision: Precision
    backend: str  # the Python package that builds and loads it
    version: str  # of the backend
    compute_capabilities: list[str]  # GPU architectures, such as SM86
    file: str  # name in the stage's folder; empty if not built
    bytes: int
    sha256: str
    source_file: str
    source_sha256: str
    status: Literal["built", "not built"]
    executed: bool
    accepted: bool | None  # within its parity budget; None if it was not executed
    reason: str  # why not built, not executed or not accepted
    parity: Parity | None


@record
class Engines:
    run: str
    engines: list[Engine]
