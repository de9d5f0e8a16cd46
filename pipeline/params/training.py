"""What of params.yaml decides how any network is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, section


@section
class TrainingParams:
    splits: Annotated[list[Literal["train", "val"]], Field(min_length=1)]  # to learn from; never the evaluation's
    crop_height: Count  # pixels
    crop_width: Count  # pixels
    batch_size: Annotated[int, Field(ge=2)]  # of one update, over all processes and parts
    image_scale: Annotated[float, Field(ge=0.25, le=1)]  # of all crops; no network's input_scale may be larger
    scale_min: Positive  # of the random resize, times image_scale; 1 = native size
    scale_max: Positive
    flip_probability: Fraction
    brightness: NonNegative  # photometric distortion, largest change in grey values of 0..255
    contrast: Fraction  # largest relative change
    saturation: Fraction  # largest relative change
    hue: NonNegative  # degrees
    max_class_share: Fraction  # a crop with more of one class is drawn again, up to ten times
    min_learning_rate: NonNegative
    learning_rate_power: Positive
    momentum: Fraction
    weight_decay: NonNegative
    max_gradient_norm: Positive  # a longer gradient is shortened to this: the network and the method each for itself
    auxiliary_weight: NonNegative
    cross_entropy_mean: Literal["all_pixels", "labelled_pixels"]
    class_balance: Fraction  # a pixel counts as its class's frequency ** -this; 0: all alike
    accumulate: Count  # parts that each process differentiates one after the other; BatchNorm sees a part at a time
    precision: Literal["fp32", "bf16", "fp16", "auto"]  # auto: bf16 where the machine computes it natively
    compile: Literal["auto", "always", "never"]  # networks; auto: on a GPU, where a trial finds them faster compiled
    deterministic: bool  # on a GPU too the same bytes every time; what has no such form is named in a warning
    devices: Count | Literal["auto"]  # GPUs, or processes without one; auto: all GPUs, or one. torchrun overrides it
    on_bad_loss: Literal[
        "stop", "skip"
    ]  # where a loss is NaN, infinite or a leap: end, or leave the update out and count
    spike_factor: Annotated[float, Field(ge=0)]  # a loss so many times above its running mean is a leap; 0: none is
    workers: Index  # data loader processes
    decoded_gib: NonNegative  # of disk for images decoded in advance, under scratch; 0: decode every time
    log_every: Count  # iterations
    checkpoint_every: Count  # iterations

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingParams":
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits: {', '.join(self.splits)} names a split twice")
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        return self
