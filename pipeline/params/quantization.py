"""Section `quantization`: int8."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.sections import Count, Index, Positive, section


@section
class FineTuningParams:
    """Quantization-aware training with the run's own losses, where calibration alone leaves a run over budget."""

    iterations: Index = 100  # 0: never
    learning_rate: Positive = 0.001


@section
class QuantizationParams:
    calibration_images: Annotated[int, Field(ge=8)] = 64  # of train, dark and bright ones
    clip_percentile: Annotated[float, Field(gt=99, le=100)] = 100.0  # of the activations; 100: nothing is clipped
    judged_on: Literal["train", "val"] = "val"  # split on which layers are judged; never the evaluation split
    judged_images: Count = 32  # evenly spaced in the list
    judged_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of the budget's points: other images lose more or less
    judge_layers: Literal["always", "if_over_budget"] = "if_over_budget"  # each on its own, which takes time
    max_float_layers: Index = 4  # layers that may stay in floating point
    fine_tuning: FineTuningParams = FineTuningParams()
