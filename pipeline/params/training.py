"""Sections of what learns: `network`, `training` and `pretraining`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from models import HEADS
from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, Untracked, key_of, section


@section
class WeightsParams:
    source: Literal["none", "timm", "file", "pretraining"] = "none"  # pretraining: the backbone of stage pretrain
    file: Untracked = ""  # a safetensors file, for source `file`; may be moved: sha256 says which bytes
    sha256: str = ""  # of that file: checked before it is read

    @model_validator(mode="after")
    def _file_needs_a_hash(self) -> "WeightsParams":
        if (self.source == "file") != bool(self.file and self.sha256):
            raise ValueError("set `file` and `sha256` for source `file`, and for no other source")
        return self


@section
class NetworkParams:
    architecture: Annotated[str, AfterValidator(key_of(HEADS))]  # docs/reference/networks.md
    backbone: str  # a timm name, or resnet18_v1c: docs/reference/networks.md
    weights: WeightsParams = WeightsParams()
    input_scale: Annotated[float, Field(ge=0.25, le=1)] = 1.0  # the image is resized by this first; 1 is native size
    output_stride: Literal[8, 14, 16, 32] = 16  # pixels of the resized image for each cell of the last map; 14: ViTs
    head_channels: Count = 128  # as published for ResNet-18 students; 512 for the published teachers
    auxiliary_channels: Count = 64  # of the auxiliary head, which only training has
    head: dict[str, Any] = Field(default_factory=dict)  # parameters of this architecture only: docs/reference/networks.md


@section
class TrainingParams:
    splits: Annotated[list[Literal["train", "val"]], Field(min_length=1)] = Field(default=["train"])
    crop_height: Count = 512  # pixels
    crop_width: Count = 512  # pixels
    batch_size: Annotated[int, Field(ge=2)] = 16  # images of one update, over all processes and parts
    image_scale: Annotated[float, Field(ge=0.25, le=1)] = 1.0  # crops are drawn at this size of the image
    scale_min: Positive = 0.5  # of the random resize, times image_scale; mmseg's
    scale_max: Positive = 2.0
    flip_probability: Fraction = 0.5  # horizontal
    brightness: NonNegative = 32.0  # photometric distortion (mmseg's): largest change of a grey value of 0..255
    contrast: Fraction = 0.5  # largest relative change
    saturation: Fraction = 0.5  # largest relative change
    hue: NonNegative = 18.0  # degrees
    max_class_share: Fraction = 0.75  # a crop with more of one class is drawn again, up to ten times
    min_learning_rate: NonNegative = 0.0001  # the schedule ends here
    learning_rate_power: Positive = 0.9  # of the polynomial schedule
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0005
    max_gradient_norm: Positive = 10.0  # longer gradients are shortened: the network's and each method's on its own
    auxiliary_weight: NonNegative = 0.4  # of the auxiliary head's loss; mmseg's
    cross_entropy_mean: Literal["all_pixels", "labelled_pixels"] = "all_pixels"  # mmseg 0.20, as GDD was tuned
    class_balance: Fraction = 0.0  # a pixel counts as its class's frequency ** -this; 0: all pixels count the same
    accumulate: Count = 1  # parts of a batch that are differentiated one after the other, to save memory
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "auto"  # auto: bf16 where there is, else fp16 (GPU), fp32
    compile: Literal["auto", "always", "never"] = "auto"  # torch.compile; auto: on a GPU, if a trial finds it faster
    deterministic: bool = False  # the same bytes every time on a GPU too (a CPU does so anyway); slower
    devices: Count | Literal["auto"] = "auto"  # GPUs, or processes on a CPU; auto: all GPUs, or one process
    on_bad_loss: Literal["stop", "skip"] = "stop"  # at a loss that is NaN, infinite or a spike; skip: no update
    spike_factor: Annotated[float, Field(ge=0)] = 10.0  # times the running mean that counts as a spike; 0: none does
    workers: Index = 4  # loader processes; 0 is fastest on two cores once images are decoded
    decoded_gib: NonNegative = 4.0  # GiB of disk under scratch for decoded images; 0: decode every time
    log_every: Count = 50  # iterations
    validate_every: Index = 0  # iterations between two scores on split val while a network learns; 0: none
    loggers: Annotated[list[Literal["tensorboard", "mlflow", "wandb"]], Field(exclude=True)] = Field(
        default_factory=list
    )  # that get the curves of teacher and students too, while they learn; pipeline/training/fabric.py has the packages
    ships: Literal["last", "best"] = "last"  # the weights of the last iteration, or of the best score on split val
    checkpoint_every: Count = 200  # iterations; a killed training loses at most these

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingParams":
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits: {', '.join(self.splits)} names a split twice")
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        if self.validate_every and "val" in self.splits:
            raise ValueError("validate_every scores on val, which is among splits: train on [train], or set it to 0")
        if self.ships == "best" and not self.validate_every:
            raise ValueError("ships: best needs scores on val: set validate_every")
        return self


@section
class ClassifierParams:
    backbone: str = "resnet50"  # a timm name
    file: Untracked = ""  # safetensors with timm's names, `fc.weight` and `fc.bias` included; may be moved
    sha256: str = ""  # of that file: checked before it is read


@section
class PretrainingParams:
    iterations: Index = 0  # 0: no backbone is pre-trained
    backbone: str = "resnet18_v1c"  # that learns
    classifier: ClassifierParams = ClassifierParams()  # that it imitates
    images: list[Literal["train", "unlabelled"]] = Field(default=["train"])  # splits; labels are not read
    batch_size: Annotated[int, Field(ge=2)] = 32
    crop_height: Count = 128  # pixels
    crop_width: Count = 128  # pixels
    scale_min: Positive = 0.5  # of the random resize; 1 is native size
    scale_max: Positive = 2.0
    mixup: Annotated[float, Field(ge=0, le=0.5)] = 0.5  # largest share of a second image mixed into each crop
    learning_rate: Positive = 0.05
    temperature: Positive = 1.0  # of the classifier's probabilities
    class_weight: NonNegative = 1.0  # of the loss on classes
    feature_weight: NonNegative = 1.0  # of the loss on the last feature maps
    seed: Index = 0

    @model_validator(mode="after")
    def _there_is_something_to_learn(self) -> "PretrainingParams":
        if not self.iterations:
            return self
        if not (self.classifier.file and self.classifier.sha256):
            raise ValueError("classifier: set `file` and `sha256`, or iterations to 0")
        if not self.images:
            raise ValueError("images: name train, unlabelled, or both")
        if not (self.class_weight or self.feature_weight):
            raise ValueError("class_weight and feature_weight are both 0: nothing is imitated")
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        return self
