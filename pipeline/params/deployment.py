"""Sections for trained networks, from `evaluation` to `report`."""

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
# TensorRT for RTX 1.7 builds only for these. Engines for a Jetson (SM87, SM110) or a data centre's GPU (SM90, SM100)
# are built on the target, with the bundle's rebuild_on_target.sh.
ComputeCapability = Literal["SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]


@section
class EvaluationParams:
    split: Split = "test"  # split that is evaluated; never one of training.splits
    batch_size: Count = 8  # images for each forward pass


@section
class InspectionParams:
    boundary_pixels: Count = 3  # pixels; a pixel at most this far from another label is at a boundary
    min_confidence: Fraction = 0.8  # least confidence of the teacher in every pixel of a label mistake
    min_region_pixels: Count = 200  # pixels; smaller regions are not reported
    view_samples: Count = 4  # samples of each view in the report


@section
class ShapeParams:
    batch: Count
    height: Count  # pixels
    width: Count  # pixels


@section
class ExportParams:
    height: Count  # pixels; the exported graph has this fixed size
    width: Count  # pixels
    resize: ResizeMode = "stretch"  # how images of other sizes are resized to it; letterbox keeps their aspect ratio
    opset: Annotated[int, Field(ge=18, le=20)] = 20  # version of the ONNX operators
    other_shapes: list[ShapeParams] = Field(default_factory=list)  # further graphs, for stage benchmark only
    logit_images: Count = 8  # images on which logits are compared
    max_logit_difference: Positive = 0.001  # largest allowed absolute difference of a logit on those images, in fp32

    @property
    def resizing(self) -> Resizing:
        """Return how images are resized to the input of the exported graphs."""
        return Resizing(self.height, self.width, self.resize)


@section
class BudgetParams:
    min_pixel_agreement: Fraction  # least share of pixels with the same label
    min_boundary_agreement: Fraction  # least share of boundary pixels with the same label
    max_miou_lost_points: Positive  # largest allowed loss of mIoU, in points of 100
    max_class_lost_points: Positive  # largest allowed loss of any class's IoU, in points of 100


def _budget(*limits: float) -> BudgetParams:
    """Return a budget; `limits` are in the order of its fields."""
    return BudgetParams(**{each.name: limit for each, limit in zip(fields(BudgetParams), limits, strict=True)})


@section
class ParityParams:
    boundary_pixels: Count = 2  # pixels; a pixel at most this far from another class is at a boundary
    onnx_fp32: BudgetParams = _budget(0.9999, 0.999, 0.01, 0.05)
    engine_fp32: BudgetParams = _budget(0.999, 0.99, 0.02, 0.1)
    fp16: BudgetParams = _budget(0.995, 0.96, 0.05, 0.25)
    int8: BudgetParams = _budget(0.96, 0.7, 0.3, 3.0)


@section
class FineTuningParams:
    """Quantization-aware training with the run's own losses, if calibration alone leaves a run over budget."""

    iterations: Index = 100  # training iterations; 0: no fine-tuning
    learning_rate: Positive = 0.001  # learning rate at the start; it falls polynomially


@section
class QuantizationParams:
    calibration_images: Count = 64  # images of split train, both dark and bright ones
    clip_percentile: Annotated[float, Field(gt=99, le=100)] = 100.0  # of the activations; 100: nothing is clipped
    judged_on: Literal["train", "val"] = "val"  # split of the judged images; never the evaluation split
    judged_images: Count = 32  # images that decide which layers stay in float; evenly spaced in the sample list
    judged_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # share of the budget's points that judged images
    # may lose; other images may lose more
    judge_layers: Literal["always", "if_over_budget"] = "if_over_budget"  # when layers are judged one by one (slow)
    max_float_layers: Index = 4  # layers that may stay in floating point
    fine_tuning: FineTuningParams = FineTuningParams()


@section
class EngineParams:
    compute_capabilities: list[ComputeCapability] = Field(default=["SM86", "SM89", "SM120"])  # of the receivers' GPUs
    precisions: list[Precision] = Field(default=["fp32", "fp16", "int8"])  # of engines; empty: no engine


@section
class BenchmarkParams:
    runtimes: list[Runtime] = Field(default=["pytorch_eager", "onnxruntime", "openvino", "tensorrt"])  # to time
    warmup_calls: Count = 50  # least number of untimed calls
    warmup_s: NonNegative = 0.5  # least time of the untimed calls, in seconds
    calls: Count = 1000  # least number of timed calls; p90 needs 64 calls, p99 needs 662
    min_s: NonNegative = 3.0  # least time of the timed calls, in seconds
    max_s: Positive = 60.0  # seconds after which timing ends, even with fewer calls
    rounds: Count = 4  # rounds in which all runtimes take turns, so that a slow minute of the machine affects all
    threads: Count = 2  # threads of each runtime on a CPU
    images: Count = 16  # number of different images, used in turn
    noisy_above: Positive = 0.25  # coefficient of variation above which a timing is marked as noisy


@section
class SpeedupParams:
    """On one runtime, the least speed-up of a lower precision over the fastest higher one within its budget."""

    fp16: Annotated[float, Field(ge=1)] = 1.05  # least speed-up over fp32
    int8: Annotated[float, Field(ge=1)] = 1.2  # least speed-up over the faster of fp32 and fp16


@section
class ReleaseParams:
    runtimes: Annotated[list[Receiver], Field(min_length=1)] = Field(
        default=["onnxruntime", "openvino", "tensorrt"]
    )  # runtimes that the bundle is made for
    files: Literal["all", "fastest"] = "all"  # fastest: one graph for each runtime, for small bundles
    license: str = "other"  # license of the weights in the card, such as apache-2.0 or cc-by-4.0; other: not decided
    servers: bool = True  # add folders for Triton and Isaac ROS
    min_speedup: SpeedupParams = SpeedupParams()
    min_miou: Fraction = 0.0  # least mIoU on the evaluation split, 0..1; a run below it is rejected
    max_miou_lost_points: Positive | None = 0.3  # points (of 100) lost against the checkpoint; null: no limit
    max_p90_ms: Positive | None = None  # milliseconds of the fastest artifact, image to labels; null: no limit
    max_mebibytes: Positive | None = None  # size of any graph in MiB; null: no limit


@section
class ReportParams:
    title: str = "Segmentation"  # title of the page
    examples: Count = 2  # rows of the picture grid for each of best, median and worst
