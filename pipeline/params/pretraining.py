"""Section `pretraining`: train a student's backbone on images without labels, before it sees the dataset's labels."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.sections import Count, Index, NonNegative, Positive, section


@section
class ClassifierParams:
    backbone: str = "resnet50"  # a timm name
    file: str = ""  # safetensors with timm's names, `fc.weight` and `fc.bias` included
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
