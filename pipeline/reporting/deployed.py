"""What the stages from export to release write about one run, as checked records; other keys are passed over."""

from typing import Literal

from pipeline.reporting.records import record

CPU_RUNTIMES = ("onnxruntime", "openvino")
GPU_RUNTIMES = ("onnxruntime_cuda", "tensorrt", "tensorrt_rtx")
EAGER = "pytorch_eager"
"""On the GPU where there is one, else on the CPU."""
BOUNDARIES = ("device_compute", "with_copies", "image_to_labels", "file_to_labels")
"""From the narrowest to the widest."""
IMAGE_TO_LABELS = "image_to_labels"
"""The boundary that decides."""
PRECISIONS = ("fp32", "fp16", "int8")
"""From the most exact to the least."""


@record
class Parity:
    """How far an artifact agrees with its checkpoint over the evaluation split."""

    runtime: str  # whose labels were compared
    images: int
    pixel_agreement: float  # 0..1
    boundary_agreement: float | None  # 0..1; None where no class ever changes
    worst_image: str
    worst_agreement: float  # 0..1
    miou: float  # 0..1
    miou_lost_points: float  # of 100; negative where something was gained
    worst_class: str
    worst_class_lost_points: float


@record
class Artifact:
    """One ONNX file."""

    file: str
    precision: Literal["fp32", "fp16", "int8"]
    runtimes: list[str]  # that it is made for
    bytes: int
    sha256: str
    status: Literal["accepted", "rejected"]
    reason: str  # why rejected
    parity: Parity

    @property
    def is_full(self) -> bool:
        return (self.precision, self.parity.runtime) == ("fp32", "onnxruntime")


@record
class Activations:
    """The largest activation of the fp32 graph, against what float16 can hold."""

    images: int  # that were scanned
    magnitude: float
    layer: str
    limit_of_fp16: float


@record
class Export:
    run: str
    opset: int
    ir_version: int
    nodes: int
    max_logit_difference: float
    activations: Activations
    artifacts: list[Artifact]

    @property
    def full(self) -> Artifact:
        """The fp32 graph as ONNX Runtime runs it; there is one in every record that was read."""
        return next(artifact for artifact in self.artifacts if artifact.is_full)


@record
class Calibration:
    images: int
    sha256: str  # of the list of images


@record
class Layer:
    """What it costs to quantize one layer alone; negative where it gains."""

    name: str
    lost_points: float  # of mIoU, on the images that layers are judged on


@record
class Choice:
    float_layers: list[str]  # kept in floating point


@record
class Quantization:
    run: str
    calibration: Calibration
    judged_on: str  # split
    layers: list[Layer]  # none where judging them was not needed
    choices: dict[str, Choice]  # what the graph is made for -> what was chosen
    fine_tuned: bool
    artifacts: list[Artifact]


@record
class Engine:
    precision: str
    backend: str
    version: str
    compute_capabilities: list[str]
    file: str
    bytes: int
    status: Literal["built", "not built"]
    executed: bool
    accepted: bool | None  # within its budget; None if it was not executed
    reason: str  # why not built, not executed or not accepted
    parity: Parity | None


@record
class Engines:
    run: str
    engines: list[Engine]


@record
class Measurement:
    """Times of one artifact at one boundary; all None where it was not run."""

    runtime: str
    precision: str
    file: str
    provider: str
    threads: int
    batch: int
    height: int  # pixels
    width: int
    boundary: str
    status: Literal["measured", "not run"]
    reason: str
    calls: int | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None  # None: too few calls to say
    p99_ms: float | None = None
    throughput_images_per_s: float | None = None
    coefficient_of_variation: float | None = None
    noisy: bool | None = None
    peak_memory_mb: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Batch, height, width."""
        return self.batch, self.height, self.width


@record
class Protocol:
    """How long was measured; calls and seconds are those of all rounds together."""

    warmup_calls: int
    warmup_s: float
    calls: int
    min_s: float
    max_s: float
    rounds: int
    noisy_above: float  # coefficient of variation
    threads: int
    split: str
    images: int  # different ones, in turn


@record
class Postprocessing:
    """What labels at full size cost inside the graph, after the last convolution."""

    file: str
    ms: float
    network_ms: float
    share_of_network: float


@record
class Profile:
    run: str
    protocol: Protocol
    machine: dict[str, bool | str | int | float | None]
    postprocessing: list[Postprocessing]
    measurements: list[Measurement]

    def measured(self, runtime: str, precision: str, shape: tuple[int, int, int]) -> Measurement | None:
        """The entry from an image in memory to labels; None if that was not measured."""
        for entry in self.measurements:
            found = (entry.runtime, entry.precision, entry.shape, entry.boundary, entry.status)
            if found == (runtime, precision, shape, IMAGE_TO_LABELS, "measured"):
                return entry
        return None

    def times_eager(self, runtime: str, p50_ms: float | None, shape: tuple[int, int, int]) -> float | None:
        """How many times as fast as PyTorch eager float32 a runtime is.

        None if eager was not measured, was noisy, or ran on another kind of device.
        """
        eager = self.measured(EAGER, "fp32", shape)
        if eager is None or eager.noisy or not eager.p50_ms or not p50_ms:
            return None
        elsewhere = GPU_RUNTIMES if eager.provider == "cpu" else CPU_RUNTIMES
        return None if runtime in elsewhere else eager.p50_ms / p50_ms


@record
class Decision:
    """Whether one file ships for one runtime."""

    runtime: str
    precision: Literal["fp32", "fp16", "int8"]
    file: str
    verdict: Literal["ships", "rejected", "undecided"]
    reason: str
    miou: float  # 0..1
    miou_lost_points: float  # of 100, against the checkpoint
    p50_ms: float | None  # image to labels, batch 1; None if it was not measured
    speedup: float | None  # over the fastest accepted file of a higher precision; None if there is nothing to compare


@record
class Decisions:
    run: str
    decisions: list[Decision]


@record
class ReleasedFile:
    path: str
    bytes: int
    sha256: str


@record
class Release:
    run: str
    status: Literal["released", "rejected"]
    reasons: list[str]
    files: list[ReleasedFile]
