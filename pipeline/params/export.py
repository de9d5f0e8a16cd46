"""Section `export`: the ONNX graph."""

from typing import Annotated

from pydantic import Field

from pipeline.params.sections import Count, Positive, section


@section
class ShapeParams:
    batch: Count
    height: Count  # pixels
    width: Count  # pixels


@section
class ExportParams:
    height: Count  # pixels; the exported graph has this one size
    width: Count  # pixels
    opset: Annotated[int, Field(ge=18, le=20)] = 20
    max_nodes: Count = 200  # more mean that the exporter unrolled something
    other_shapes: list[ShapeParams] = Field(default_factory=list)  # further graphs, for stage benchmark only
    logit_images: Count = 8  # images on which logits are compared
    max_logit_difference: Positive = 0.001
