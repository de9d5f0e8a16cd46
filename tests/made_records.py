"""Records as the stages write them, for tests that care about a few fields."""

from collections.abc import Sequence
from typing import Any

from pipeline.params.sections import Precision
from pipeline.records.artifacts import Activations, Artifact, Calibration, Export, Parity, Quantization

PARITY = Parity(
    runtime="onnxruntime", images=2, pixel_agreement=0.9999, boundary_agreement=0.999, worst_image="frame_7",
    worst_agreement=0.9998, reference_miou=0.6, miou=0.6, miou_lost_points=0.0, worst_class="pole",
    worst_class_lost_points=0.0,
)  # fmt: skip


def made_artifact(file: str, precision: Precision, runtimes: Sequence[str], **changes: Any) -> Artifact:
    fields = {"bytes": 1, "sha256": "", "status": "accepted", "reason": "", "parity": PARITY, **changes}
    return Artifact(file=file, precision=precision, runtimes=list(runtimes), **fields)


def made_export(artifacts: Sequence[Artifact]) -> Export:
    activations = Activations(images=1, magnitude=1.0, layer="a", finite=True, limit_of_fp16=16376.0)
    return Export(
        run="toy", opset=20, ir_version=9, nodes=9, operators=["Conv"], max_logit_difference=0.0,
        activations=activations, artifacts=list(artifacts),
    )  # fmt: skip


def made_quantization(artifacts: Sequence[Artifact]) -> Quantization:
    return Quantization(
        run="toy", calibration=Calibration(images=8, clip_percentile=100.0, sha256=""), judged_on="val", layers=[],
        choices={}, fine_tuned=False, fine_tuning=None, artifacts=list(artifacts),
    )  # fmt: skip
