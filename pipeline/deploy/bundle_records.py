"""The records in a bundle: the provenance of the checkpoint, the measured numbers, and the manifest of the files."""

from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.data.files import sha256
from pipeline.errors import ArtifactError
from pipeline.records.artifacts import Int8Recipe
from pipeline.records.release import Decision, Manifest, Numerics, ReleasedFile
from pipeline.records.run import RunRecords
from segdistill_runtime.targets.target import all_targets
from segdistill_runtime.verify import FORMAT, MANIFEST, SIGNATURE

TOOLS = ("torch", "onnx", *dict.fromkeys(package for target in all_targets() for package in target.packages))
"""Packages whose versions change the content of a bundle."""
RESOLVED = "artifacts/resolved.json"  # written by stage resolve
OPTIONAL_STAGES = {"pretrain": "artifacts/pretraining", "teacher": "artifacts/teacher"}


class Provenance(NamedTuple):
    """The inputs of a run's checkpoint, as dvc.lock records them."""

    files: list[dict[str, str]]  # stage, kind (deps or outs), path and md5 of each
    parameters: dict[str, Any]  # of the student stage, defaults included


def provenance(lock: Path, name: str) -> Provenance:
    """Read the inputs of a run's checkpoint from dvc.lock.

    Raises:
        ArtifactError: dvc.lock is missing or damaged, or lacks a stage of the run.
    """
    if not lock.is_file():
        raise ArtifactError(f"{lock} is missing, so the inputs of this model are unknown; run `dvc repro`")
    try:
        stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"]
        student = f"student-{name}"
        if missing := [stage for stage in ("prepare", "curate", student) if stage not in stages]:
            raise ArtifactError(f"{lock} lacks the stages {', '.join(missing)}; run `dvc repro`")
        needed = {str(entry["path"]) for entry in stages[student].get("deps", [])}
        used = ["prepare", "curate", *(stage for stage, out in OPTIONAL_STAGES.items() if out in needed), student]
        files = [
            {"stage": stage, "kind": kind, "path": str(entry["path"]), "md5": str(entry["md5"])}
            for stage in used
            for kind in ("deps", "outs")
            for entry in stages[stage].get(kind, [])
            if "md5" in entry  # files in git have no MD5
        ]
        return Provenance(files, stages[student].get("params", {}).get(RESOLVED, {}).get(student, {}))
    except (YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{lock} cannot be read ({error}); restore it from git, or run `dvc repro`") from error


def numerics(
    records: RunRecords, decisions: list[Decision], reasons: list[str], samples: Path, origin: Sequence[dict[str, str]]
) -> Numerics:
    """Return the accuracy of the checkpoint and all files made from it; the hash of `samples` identifies the data."""
    evaluation, quantization = records.evaluation, records.quantization
    checkpoint = f"artifacts/students/{evaluation.name}"
    return Numerics(
        run=evaluation.name, status="rejected" if reasons else "released", reasons=reasons, split=evaluation.split,
        images=evaluation.images, reference_miou=evaluation.miou, reference_pixel_accuracy=evaluation.pixel_accuracy,
        absent_classes=list(evaluation.predicted_absent),
        samples_sha256=sha256(samples), checkpoint_md5=[e["md5"] for e in origin if e["path"] == checkpoint],
        artifacts=records.artifacts, engines=records.engines.engines, decisions=decisions,
        quantization=Int8Recipe(**{field.name: getattr(quantization, field.name) for field in fields(Int8Recipe)}),
    )  # fmt: skip


def manifest(name: str, reasons: list[str], bundle: Path) -> Manifest:
    """List all files of the bundle except the manifest and its signature, with the status of the run."""
    files = [
        ReleasedFile(path=path.relative_to(bundle).as_posix(), bytes=path.stat().st_size, sha256=sha256(path))
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, SIGNATURE)
    ]
    tools = {tool: next((found.version for found in distributions(name=tool)), None) for tool in TOOLS}
    status = "rejected" if reasons else "released"
    return Manifest(format=FORMAT, run=name, status=status, reasons=reasons, tools=tools, files=files)
