"""Sections of what is done with a trained network, from `evaluation` to `report`."""

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, Precision, Split, key_of, section
from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime import RESIZE_MODES
from segdistill_runtime.images import Resizing
from segdistill_runtime.targets import TARGETS

Receiver = Annotated[str, AfterValidator(key_of(TARGETS))]
Runtime = Annotated[str, AfterValidator(key_of(TORCH_RUNNERS | TARGETS))]
ResizeMode = Annotated[str, AfterValidator(key_of(RESIZE_MODES))]
# TensorRT for RTX 1.7 builds for no others. Engines for a Jetson (SM87, SM110) or a data centre's GPU (SM90, SM100) are
# built there, by the bundle's rebuild_on_target.sh.
ComputeCapability = Literal["SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]


@section
class EvaluationParams:
    split: Split = "test"  # never one of training.splits
    batch_size: Count = 8


@section
class InspectionParams:
    boundary_pixels: Count = 3  # pixels this close to another label are at a boundary
    min_confidence: Fraction = 0.8  # of the teacher in every pixel that it holds to be mislabelled
    min_region_pixels: Count = 200  # smaller regions are not reported
    view_samples: Count = 4  # of each view, in the report


@section
class ShapeParams:
    batch: Count
    height: Count  # pixels
    width: Count  # pixels


@section
class ExportParams:
    height: Count  # pixels; the exported graph has this one size
    width: Count  # pixels
    resize: ResizeMode = "stretch"  # how images of other sizes are brought to it; letterbox keeps their aspect ratio
    opset: Annotated[int, Field(ge=18, le=20)] = 20
    other_shapes: list[ShapeParams] = Field(default_factory=list)  # further graphs, for stage benchmark only
    logit_images: Count = 8  # images on which logits are compared
    max_logit_difference: Positive = 0.001

    @property
    def resizing(self) -> Resizing:
        """How images become input of the exported graphs."""
        return Resizing(self.height, self.width, self.resize)


@section
class BudgetParams:
    min_pixel_agreement: Fraction  # share of pixels with the same label
    min_boundary_agreement: Fraction  # of those at boundaries
    max_miou_lost_points: Positive  # points of 100
    max_class_lost_points: Positive  # points of the class that loses most


def _budget(*limits: float) -> BudgetParams:
    """Limits are in the order of the fields."""
    return BudgetParams(**{each.name: limit for each, limit in zip(fields(BudgetParams), limits, strict=True)})


@section
class ParityParams:
    boundary_pixels: Count = 2  # pixels this close to another class are at a boundary
    onnx_fp32: BudgetParams = _budget(0.9999, 0.999, 0.01, 0.05)
    engine_fp32: BudgetParams = _budget(0.999, 0.99, 0.02, 0.1)
    fp16: BudgetParams = _budget(0.995, 0.96, 0.05, 0.25)
    int8: BudgetParams = _budget(0.96, 0.7, 0.3, 3.0)


@section
class FineTuningParams:
    """Quantization-aware training with the run's own losses, where calibration alone leaves a run over budget."""

    iterations: Index = 100  # 0: never
    learning_rate: Positive = 0.001


@section
class QuantizationParams:
    calibration_images: Count = 64  # of train, dark and bright ones
    clip_percentile: Annotated[float, Field(gt=99, le=100)] = 100.0  # of the activations; 100: nothing is clipped
    judged_on: Literal["train", "val"] = "val"  # split on which layers are judged; never the evaluation split
    judged_images: Count = 32  # evenly spaced in the list
    judged_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of the budget's points: other images lose more or less
    judge_layers: Literal["always", "if_over_budget"] = "if_over_budget"  # each on its own, which takes time
    max_float_layers: Index = 4  # layers that may stay in floating point
    fine_tuning: FineTuningParams = FineTuningParams()


@section
class EngineParams:
    compute_capabilities: list[ComputeCapability] = Field(default=["SM86", "SM89", "SM120"])  # of the receivers' GPUs
    precisions: list[Precision] = Field(default=["fp32", "fp16", "int8"])  # empty: no engine is built


@section
class BenchmarkParams:
    runtimes: list[Runtime] = Field(default=["pytorch_eager", "onnxruntime", "openvino", "tensorrt"])
    warmup_calls: Count = 50  # untimed
    warmup_s: NonNegative = 0.5  # seconds, at least
    calls: Count = 1000  # timed, at least; p90 needs 64 calls, p99 needs 662
    min_s: NonNegative = 3.0  # seconds of timed calls, at least
    max_s: Positive = 60.0  # seconds after which timing ends, with fewer calls
    rounds: Count = 4  # all runtimes take turns, so that a slow minute of the machine hits all of them
    threads: Count = 2
    images: Count = 16  # different images that are cycled through
    noisy_above: Positive = 0.25  # coefficient of variation above which a timing is marked as noisy


@section
class SpeedupParams:
    """How many times as fast a lower precision must be as the next higher one on its runtime."""

    fp16: Annotated[float, Field(ge=1)] = 1.05
    int8: Annotated[float, Field(ge=1)] = 1.2


@section
class ReleaseParams:
    runtimes: Annotated[list[Receiver], Field(min_length=1)] = Field(default=["onnxruntime", "openvino", "tensorrt"])
    files: Literal["all", "fastest"] = "all"  # fastest: one graph for each runtime, for small bundles
    servers: bool = True  # add folders for Triton and Isaac ROS
    min_speedup: SpeedupParams = SpeedupParams()
    min_miou: Fraction = 0.0
    max_miou_lost_points: Positive | None = 0.3  # points lost against the checkpoint; null: no limit
    max_p90_ms: Positive | None = None  # of the fastest artifact, image to labels
    max_mebibytes: Positive | None = None  # MiB of any graph


@section
class ReportParams:
    title: str = "Segmentation"
    examples: Count = 2  # rows of the picture grid for each of best, median and worst
