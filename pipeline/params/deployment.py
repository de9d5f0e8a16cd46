"""What of params.yaml decides about everything after training: graphs, precisions, engines, latency, release."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, section

Precision = Literal["fp32", "fp16", "int8"]
ComputeCapability = Literal["SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]
Runtime = Literal[
    "pytorch_eager", "pytorch_compiled", "onnxruntime", "onnxruntime_cuda", "openvino", "tensorrt"
]  # fmt: skip


@section
class ShapeParams:
    batch: Count
    height: Count  # pixels
    width: Count


@section
class ExportParams:
    height: Count  # pixels; the graph that ships has this one size
    width: Count
    opset: Annotated[int, Field(ge=18, le=20)]
    max_nodes: Count
    other_shapes: list[ShapeParams]  # further graphs of the same network, for stage profile alone
    logit_images: Count  # images on which logits are compared
    max_logit_difference: Positive


@section
class BudgetParams:
    """What an artifact may differ from the checkpoint over the whole evaluation split."""

    min_pixel_agreement: Fraction
    min_boundary_agreement: Fraction
    max_miou_lost_points: Positive  # points of 100
    max_class_lost_points: Positive  # of the class that loses most


@section
class ParityParams:
    boundary_pixels: Count  # a pixel no further from another class than this is at a boundary
    onnx_fp32: BudgetParams
    engine_fp32: BudgetParams
    fp16: BudgetParams
    int8: BudgetParams

    def budget(self, precision: Precision, engine: bool) -> BudgetParams:
        if precision == "fp32":
            return self.engine_fp32 if engine else self.onnx_fp32
        return self.fp16 if precision == "fp16" else self.int8


@section
class FineTuningParams:
    """Quantization-aware training with the run's own losses, for a run that calibration alone leaves over budget."""

    iterations: Index  # 0: never
    learning_rate: Positive


@section
class QuantizationParams:
    calibration_images: Annotated[int, Field(ge=8)]  # of train
    clip_percentile: Annotated[float, Field(gt=99, le=100)]  # of the activations; 100: nothing is clipped
    judged_on: Literal["train", "val"]  # where layers are judged; never the evaluation split
    judged_images: Count  # evenly spaced in the list
    judged_share: Annotated[float, Field(gt=0, le=1)]  # of the budget's points; the evaluation split is other images
    judge_layers: Literal["always", "if_over_budget"]  # each for itself, which takes its time
    max_float_layers: Index  # most layers that may stay in floating point
    fine_tuning: FineTuningParams


@section
class EngineParams:
    compute_capabilities: list[ComputeCapability]
    precisions: list[Precision]


@section
class ProfileParams:
    runtimes: list[Runtime]
    warmup_calls: Count
    warmup_s: NonNegative  # seconds, as all below
    calls: Count  # of each at each boundary
    min_s: NonNegative
    max_s: Positive
    rounds: Count  # in which all take turns, so that a slow minute of the machine is everybody's
    threads: Count
    images: Count  # different images that are cycled through
    noisy_above: Positive  # coefficient of variation


@section
class SpeedupParams:
    """How many times as fast a lower precision must be as the best higher one of the same runtime."""

    fp16: Annotated[float, Field(ge=1)]
    int8: Annotated[float, Field(ge=1)]


@section
class ReleaseParams:
    """What a run must reach to be released; null where there is no limit."""

    runtimes: Annotated[list[Literal["onnxruntime", "openvino", "tensorrt"]], Field(min_length=1)]  # of its receivers
    files: Literal["all", "fastest"]  # fastest: one file for each runtime, where bytes count
    servers: bool  # with folders for Triton and Isaac ROS, which hold a copy of the graph
    min_speedup: SpeedupParams
    min_miou: Fraction
    max_miou_lost_points: Positive | None  # of what ships, against the checkpoint
    max_p90_ms: Positive | None  # of the fastest that ships, image to labels
    max_mebibytes: Positive | None  # of any graph that ships
