"""Section `engine`: TensorRT engines that are built ahead of time."""

from typing import Literal

from pydantic import Field

from pipeline.params.sections import Precision, section

ComputeCapability = Literal["SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]


@section
class EngineParams:
    compute_capabilities: list[ComputeCapability] = Field(default=["SM86", "SM89", "SM120"])  # of the receivers' GPUs
    precisions: list[Precision] = Field(default=["fp32", "fp16", "int8"])  # empty: no engine is built
