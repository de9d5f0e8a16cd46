"""Sections of networks and their training: `network`, `training` and `pretraining`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from models import HEADS
from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, Untracked, key_of, section


@section
class WeightsParams:
    source: Literal["none", "timm", "file", "pretraining"] = "none"  # pretraining: a backbone from stage pretrain
    file: Untracked = ""  # safetensors file for source `file`; you may move it, because sha256 identifies its bytes
    sha256: str = ""  # SHA-256 of that file, checked before it is read

    @model_validator(mode="after")
    def _file_needs_a_hash(self) -> "WeightsParams":
        if (self.source == "file") != bool(self.file and self.sha256):
            raise ValueError("set `file` and `sha256` for source `file`, and for no other source")
        return self


@section
class NetworkParams:
    architecture: Annotated[str, AfterValidator(key_of(HEADS))]  # see docs/reference/networks.md
    backbone: str  # timm name, or resnet18_v1c; see docs/reference/networks.md
    weights: WeightsParams = WeightsParams()
    input_scale: Annotated[float, Field(ge=0.25, le=1)] = 1.0  # factor that first resizes the image; 1: native size
    output_stride: Literal[8, 14, 16, 32] = 16  # pixels of the resized image for each cell of the last map; 14: ViTs
    head_channels: Count = 128  # channels of the head; published: 128 for ResNet-18 students, 512 for teachers
    auxiliary_channels: Count = 64  # channels of the auxiliary head, which only training uses
    head: dict[str, Any] = Field(default_factory=dict)  # options of this architecture; see docs/reference/networks.md


@section
class TrainingParams:
    splits: Annotated[list[Literal["train", "val"]], Field(min_length=1)] = Field(default=["train"])  # to train on
    crop_height: Count = 512  # pixels
    crop_width: Count = 512  # pixels
    batch_size: Annotated[int, Field(ge=2)] = 16  # images for each update, all processes and parts together
    image_scale: Annotated[float, Field(ge=0.25, le=1)] = 1.0  # scale of images to draw crops from; 1: native size
    scale_min: Positive = 0.5  # smallest factor of the random resize, times image_scale; mmseg's value
    scale_max: Positive = 2.0  # largest factor of that resize, times image_scale; mmseg's value
    flip_probability: Fraction = 0.5  # probability of a horizontal flip
    brightness: NonNegative = 32.0  # largest change in grey values of 0..255; this photometric distortion is mmseg's
    contrast: Fraction = 0.5  # largest relative change
    saturation: Fraction = 0.5  # largest relative change
    hue: NonNegative = 18.0  # largest change in degrees
    max_class_share: Fraction = 0.75  # a crop with a larger share of one class is drawn again, up to ten times
    min_learning_rate: NonNegative = 0.0001  # learning rate at the end of the schedule
    learning_rate_power: Positive = 0.9  # exponent of the polynomial schedule
    momentum: Fraction = 0.9  # momentum of SGD
    weight_decay: NonNegative = 0.0005  # weight decay of SGD, on every trained parameter
    max_gradient_norm: Positive = 10.0  # gradients are clipped to this norm, the network's and each method's separately
    auxiliary_weight: NonNegative = 0.4  # weight of the auxiliary head's loss; mmseg's value
    cross_entropy_mean: Literal["all_pixels", "labelled_pixels"] = "all_pixels"  # pixels that the mean counts;
    # all_pixels is as in mmseg 0.20, with which GDD was tuned
    class_balance: Fraction = 0.0  # exponent: a pixel's loss is divided by its class's frequency ** this; 0: no change
    accumulate: Count = 1  # parts of a batch that are processed one after the other, to save memory
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "auto"  # auto: bf16 if supported, else fp16 (GPU), fp32 (CPU)
    compile: Literal["auto", "always", "never"] = "auto"  # torch.compile; auto: on a GPU, if a trial finds it faster
    deterministic: bool = False  # same bytes in every run on a GPU, but slower; a CPU always gives the same bytes
    devices: Count | Literal["auto"] = "auto"  # GPUs, or processes on a CPU; auto: all GPUs, or one process
    on_bad_loss: Literal["stop", "skip"] = "stop"  # action if the loss is NaN, infinite or a spike; skip: no update
    spike_factor: Annotated[float, Field(ge=0)] = 10.0  # a loss above this times the running mean is a spike; 0: never
    workers: Index = 4  # loader processes; 0 is fastest on two cores once images are decoded
    decoded_gib: NonNegative = 4.0  # GiB of disk under scratch for decoded images; 0: decode every time
    log_every: Count = 50  # iterations between two log entries
    validate_every: Index = 0  # iterations between two scores on split val during training; 0: none
    loggers: Annotated[list[Literal["tensorboard", "mlflow", "wandb"]], Field(exclude=True)] = Field(
        default_factory=list
    )  # loggers that also get the curves of teacher and students; pipeline/training/fabric.py lists their packages
    checkpoint: Literal["last", "best"] = "last"  # its weights: of the last iteration, or of the best score on val
    checkpoint_every: Count = 200  # iterations between two checkpoints; a killed training loses at most these

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingParams":
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits: {', '.join(self.splits)} names a split twice; remove one")
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        if self.validate_every and "val" in self.splits:
            raise ValueError("validate_every scores on val, which is among splits: train on [train], or set it to 0")
        if self.checkpoint == "best" and not self.validate_every:
            raise ValueError("checkpoint: best needs scores on val: set validate_every")
        return self


@section
class ClassifierParams:
    backbone: str = "resnet50"  # timm name
    file: Untracked = ""  # safetensors file with timm's names, including `fc.weight` and `fc.bias`; you may move it
    sha256: str = ""  # SHA-256 of that file, checked before it is read


@section
class PretrainingParams:
    iterations: Index = 0  # training iterations; 0: no backbone is pre-trained
    backbone: str = "resnet18_v1c"  # backbone that is pre-trained
    classifier: ClassifierParams = ClassifierParams()  # classifier that the backbone imitates
    images: list[Literal["train", "unlabelled"]] = Field(default=["train"])  # splits; their labels are not read
    batch_size: Annotated[int, Field(ge=2)] = 32  # images for each update
    crop_height: Count = 128  # pixels
    crop_width: Count = 128  # pixels
    scale_min: Positive = 0.5  # smallest factor of the random resize; 1: native size
    scale_max: Positive = 2.0  # largest factor of that resize
    mixup: Annotated[float, Field(ge=0, le=0.5)] = 0.5  # largest share of a second image mixed into each crop
    learning_rate: Positive = 0.05  # learning rate at the start; it falls polynomially
    temperature: Positive = 1.0  # temperature of the classifier's probabilities
    class_weight: NonNegative = 1.0  # weight of the loss on classes
    feature_weight: NonNegative = 1.0  # weight of the loss on the last feature maps
    seed: Index = 0  # seed of weights, crops and mixing

    @model_validator(mode="after")
    def _there_is_something_to_learn(self) -> "PretrainingParams":
        if not self.iterations:
            return self
        if not (self.classifier.file and self.classifier.sha256):
            raise ValueError("classifier: set `file` and `sha256`, or iterations to 0")
        if not self.images:
            raise ValueError("images: name train, unlabelled, or both")
        if not (self.class_weight or self.feature_weight):
            raise ValueError("class_weight and feature_weight are both 0: set one above 0, or iterations to 0")
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        return self
