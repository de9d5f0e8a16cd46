"""What the stages before the release measured about one run, read back and checked."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.data.files import sha256
from pipeline.errors import SegdistillError
from pipeline.params.deployment import Precision

Kind = TypeVar("Kind")

BOUNDARY = "image_to_labels"
"""What a receiver does: an image in memory in, labels out. Decisions rest on these times."""


class EvidenceError(SegdistillError):
    """A measurement that is missing or is not what its stage writes; nothing is released unmeasured."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an artifact agrees with the checkpoint over the evaluation split."""

    runtime: str
    images: int
    pixel_agreement: float  # 0..1
    boundary_agreement: float | None
    worst_image: str
    worst_agreement: float
    reference_miou: float  # 0..1, of the checkpoint
    miou: float  # 0..1
    miou_lost_points: float  # of 100
    worst_class: str
    worst_class_lost_points: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Quality of the checkpoint over the evaluation split."""

    split: str
    images: int
    miou: float  # 0..1
    pixel_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One ONNX file, and whether it is within its budget."""

    file: str
    precision: Precision
    runtimes: list[str]  # that it is made for
    bytes: int
    sha256: str
    status: Literal["accepted", "rejected"]
    reason: str
    parity: Parity


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the int8 graphs were calibrated on."""

    images: int
    sha256: str  # of calibration.csv


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Of the layers of one int8 graph."""

    float_layers: list[str]  # kept in floating point


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the int8 graphs came about."""

    calibration: Calibration
    choices: dict[str, Choice]  # for cpu and for tensorrt
    fine_tuned: bool


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine, or why there is none."""

    precision: Precision
    backend: str
    version: str
    compute_capabilities: list[str]
    file: str
    bytes: int
    sha256: str
    status: Literal["built", "not built"]
    executed: bool
    accepted: bool | None  # None if it was not executed
    reason: str
    parity: Parity | None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Times of one file at one boundary; None where it was not run."""

    runtime: str
    precision: str
    file: str
    batch: int
    height: int  # pixels
    width: int
    boundary: str
    status: Literal["measured", "not run"]
    reason: str
    calls: int | None = None
    p50_ms: float | None = None
    p50_ms_of_rounds: list[float] | None = None  # rivals took turns: what one round says, the next must confirm
    p90_ms: float | None = None
    p99_ms: float | None = None
    coefficient_of_variation: float | None = None
    noisy: bool | None = None


class Evidence(NamedTuple):
    """Everything a release rests on. The records are whole, the typed lists hold what decides."""

    records: dict[str, dict[str, Any]]  # of the stages evaluate, export, quantize, engine and profile, as written
    baseline: dict[str, Any]  # evaluation of the run's baseline
    teacher: dict[str, Any]
    evaluation: Evaluation
    quantization: Quantization
    artifacts: list[Artifact]
    engines: list[Engine]
    measurements: list[Measurement]


STAGES = ("evaluate", "export", "quantize", "engine", "profile")


def read_evidence(metrics: Path, name: str, baseline: str) -> Evidence:
    """Read what was measured about a run.

    Args:
        metrics: the folder that holds evaluate/, export/, quantize/, engine/ and profile/.

    Raises:
        EvidenceError: a file is missing or is not what its stage writes; names the file and the stage.
    """
    paths = {stage: metrics / stage / f"{name}.json" for stage in STAGES}
    records = {stage: _read(path, stage) for stage, path in paths.items()}
    artifacts = [
        artifact
        for stage in ("export", "quantize")
        for artifact in _typed(list[Artifact], records[stage].get("artifacts"), paths[stage], stage)
    ]
    return Evidence(
        records,
        _read(metrics / "evaluate" / f"{baseline}.json", "evaluate"),
        _read(metrics / "evaluate" / "teacher.json", "evaluate"),
        _typed(Evaluation, records["evaluate"], paths["evaluate"], "evaluate"),
        _typed(Quantization, records["quantize"], paths["quantize"], "quantize"),
        artifacts,
        _typed(list[Engine], records["engine"].get("engines"), paths["engine"], "engine"),
        _typed(list[Measurement], records["profile"].get("measurements"), paths["profile"], "profile"),
    )


def copy_measured(source: Path, expected_sha256: str, target: Path) -> None:
    """Copy a file; what ships must be what was measured.

    Raises:
        EvidenceError: the file is missing or has other bytes.
    """
    if not source.is_file() or sha256(source) != expected_sha256:
        raise EvidenceError(f"{source} is missing or is not the file that was measured; run dvc repro")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _read(path: Path, stage: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EvidenceError(
            f"measurement {path} cannot be read ({error}); stage {stage} writes it: run dvc repro. Nothing is released "
            f"unmeasured"
        ) from error
    if not isinstance(content, dict):
        raise EvidenceError(f"{path} is not what stage {stage} writes; delete it and run dvc repro")
    return content


def _typed(kind: type[Kind], value: object, path: Path, stage: str) -> Kind:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'list'}: {e['msg']}" for e in error.errors()[:5])
        raise EvidenceError(
            f"{path} is not what stage {stage} writes ({found}); delete it and run dvc repro"
        ) from error
