"""Section `network`: what is built, and the weights that it begins with."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from models import HEADS
from pipeline.params.sections import Count, key_of, section


@section
class WeightsParams:
    source: Literal["none", "timm", "file", "pretraining"] = "none"  # pretraining: the backbone of stage pretrain
    file: str = ""  # a safetensors file, for source `file`
    sha256: str = ""  # of that file: checked before it is read

    @model_validator(mode="after")
    def _file_needs_a_hash(self) -> "WeightsParams":
        if (self.source == "file") != bool(self.file and self.sha256):
            raise ValueError("set `file` and `sha256` for source `file`, and for no other source")
        return self


@section
class NetworkParams:
    architecture: Annotated[str, AfterValidator(key_of(HEADS))]  # docs/networks.md
    backbone: str  # a timm name, or resnet18_v1c: docs/networks.md
    weights: WeightsParams = WeightsParams()
    input_scale: Annotated[float, Field(ge=0.25, le=1)] = 1.0  # the image is resized by this first; 1 is native size
    output_stride: Literal[8, 14, 16, 32] = (
        16  # pixels of the resized image for each cell of the last map; 14: some ViTs
    )
    head_channels: Count = 128  # as published for ResNet-18 students; 512 for the published teachers
    auxiliary_channels: Count = 64  # of the auxiliary head, which only training has
    head: dict[str, Any] = Field(default_factory=dict)  # parameters of this architecture only: docs/networks.md
