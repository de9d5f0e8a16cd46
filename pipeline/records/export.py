"""reports/metrics/export/RUN.json: the float ONNX files of a run and their parity."""

from typing import Literal, get_args

from pipeline.records.files import record
from pipeline.records.parity import Parity

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""From the most exact to the least."""


@record
class Artifact:
    """One ONNX file on the runtimes whose labels were compared; a file has a second record for OpenVINO."""

    file: str  # name in the stage's folder
    precision: Precision
    runtimes: list[str]  # that it is made for
    bytes: int
    sha256: str
    status: Literal["accepted", "rejected"]
    reason: str  # why rejected
    parity: Parity

    @property
    def is_full(self) -> bool:
        """Whether this is the fp32 graph as ONNX Runtime runs it."""
        return (self.precision, self.parity.runtime) == ("fp32", "onnxruntime")


@record
class Activations:
    """The largest activation of the fp32 graph, compared with the range of float16."""

    images: int  # that were scanned
    magnitude: float
    layer: str
    finite: bool
    limit_of_fp16: float


@record
class Export:
    run: str
    opset: int
    ir_version: int
    nodes: int
    operators: list[str]
    max_logit_difference: float  # from PyTorch
    activations: Activations
    artifacts: list[Artifact]

    @property
    def full(self) -> Artifact:
        """The fp32 graph as ONNX Runtime runs it; every export has one."""
        return next(artifact for artifact in self.artifacts if artifact.is_full)
