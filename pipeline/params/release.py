"""Section `release`: what a run must reach, and what its bundle holds."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.params.sections import Fraction, Positive, key_of, section
from segdistill_runtime.targets import TARGETS


@section
class SpeedupParams:
    """How many times as fast a lower precision must be as the next higher one on its runtime."""

    fp16: Annotated[float, Field(ge=1)] = 1.05
    int8: Annotated[float, Field(ge=1)] = 1.2


@section
class ReleaseParams:
    runtimes: Annotated[list[Annotated[str, AfterValidator(key_of(TARGETS))]], Field(min_length=1)] = Field(
        default=["onnxruntime", "openvino", "tensorrt"]
    )  # of the receivers
    files: Literal["all", "fastest"] = "all"  # fastest: one graph for each runtime, for small bundles
    servers: bool = True  # add folders for Triton and Isaac ROS
    min_speedup: SpeedupParams = SpeedupParams()
    min_miou: Fraction = 0.0
    max_miou_lost_points: Positive | None = 0.3  # points lost against the checkpoint; null: no limit
    max_p90_ms: Positive | None = None  # of the fastest artifact, image to labels
    max_mebibytes: Positive | None = None  # MiB of any graph
