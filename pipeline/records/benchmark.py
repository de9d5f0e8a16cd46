"""reports/metrics/benchmark/RUN.json: latency of every file of a run on every runtime."""

from typing import Literal

from pipeline.records.files import record
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import load_target

EAGER = "pytorch_eager"  # on the GPU if there is one, else on the CPU
IMAGE_TO_LABELS = "image_to_labels"  # the boundary that decisions use: from an image in memory to labels
BOUNDARIES = ("device_compute", "with_copies", IMAGE_TO_LABELS, "file_to_labels")  # from the narrowest to the widest


@record
class Protocol:
    """The length of a measurement, over all rounds: at least `calls` and `min_s`, but never longer than `max_s`."""

    warmup_calls: int
    warmup_s: float
    calls: int
    min_s: float
    max_s: float
    rounds: int  # in each round every file is timed once, so that a slow minute of the machine affects all
    noisy_above: float  # coefficient of variation
    threads: int
    split: str
    images: int  # different images, used in turn


@record
class Postprocessing:
    """Cost of full-size labels inside the graph, after the last convolution."""

    precision: str
    file: str
    ms: float
    network_ms: float  # all earlier nodes
    share_of_network: float
    operators: list[str]


@record
class Case:
    """One file on one runtime at one boundary."""

    runtime: str
    precision: str
    file: str
    batch: int
    height: int  # pixels
    width: int
    provider: str  # device or execution provider that computes
    threads: int
    boundary: str
    status: Literal["measured", "not run"]
    reason: str  # why it was not run

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return batch, height, width."""
        return self.batch, self.height, self.width


@record
class Latency:
    """Time of one call. All None if it was not measured; p90 and p99 are also None if there were too few calls."""

    calls: int | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    min_ms: float | None = None
    coefficient_of_variation: float | None = None
    noisy: bool | None = None
    throughput_images_per_s: float | None = None  # without parallel calls
    p50_ms_of_rounds: list[float] | None = None
    peak_memory_mb: float | None = None  # of the process


@record
class Measurement(Latency, Case):
    """The latency of one case."""


@record
class Benchmark:
    run: str
    protocol: Protocol
    machine: dict[str, bool | str | int | float | None]
    postprocessing: list[Postprocessing]
    measurements: list[Measurement]

    def measured(self, runtime: str, precision: str, shape: tuple[int, int, int]) -> Measurement | None:
        """Return the measurement from image to labels; None if there is none."""
        wanted = (runtime, precision, shape, IMAGE_TO_LABELS, "measured")
        found = (m for m in self.measurements if (m.runtime, m.precision, m.shape, m.boundary, m.status) == wanted)
        return next(found, None)

    def times_eager(self, runtime: str, p50_ms: float | None, shape: tuple[int, int, int]) -> float | None:
        """Return the speed-up over PyTorch eager float32.

        None if that was not measured, was noisy, or ran on another device.
        """
        eager = self.measured(EAGER, "fp32", shape)
        if eager is None or eager.noisy or not eager.p50_ms or not p50_ms:
            return None
        device = "cpu" if eager.provider == "cpu" else "gpu"
        return eager.p50_ms / p50_ms if runtime not in TARGETS or load_target(runtime).device == device else None
