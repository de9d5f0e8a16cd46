"""What of params.yaml decides whether and how a backbone is trained before it sees a label."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.sections import Count, Index, NonNegative, Positive, section


@section
class ClassifierParams:
    backbone: str  # a timm name
    file: str  # safetensors in timm's names, with `fc.weight` and `fc.bias`; empty where nothing is pre-trained
    sha256: str  # of that file, checked before it is read


@section
class PretrainingParams:
    iterations: Index  # 0: no backbone is pre-trained
    backbone: str  # that learns
    classifier: ClassifierParams  # that it imitates
    images: list[Literal["train", "unlabelled"]]  # splits; no label is read
    batch_size: Annotated[int, Field(ge=2)]
    crop_height: Count  # pixels
    crop_width: Count
    scale_min: Positive  # of the random resize, 1 = native size
    scale_max: Positive
    mixup: Annotated[float, Field(ge=0, le=0.5)]  # the largest share that a second image may have in each
    learning_rate: Positive
    temperature: Positive
    class_weight: NonNegative  # of following the classifier's classes
    feature_weight: NonNegative  # of following its last feature maps
    seed: Index

    @model_validator(mode="after")
    def _there_is_something_to_learn(self) -> "PretrainingParams":
        if not self.iterations:
            return self
        if not (self.classifier.file and self.classifier.sha256):
            raise ValueError("classifier: `file` and `sha256` must be given where iterations is not 0")
        if not self.images:
            raise ValueError("images: name train, unlabelled, or both")
        if not (self.class_weight or self.feature_weight):
            raise ValueError("class_weight and feature_weight are both 0: there is nothing to imitate")
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        return self
