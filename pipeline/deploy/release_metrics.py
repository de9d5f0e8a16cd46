"""Put together numerics.yaml and perf.yaml: accuracy and latency of a release, for git and for the bundle."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pipeline.data.files import sha256
from pipeline.records.decision import Decision
from pipeline.records.quantization import Int8Recipe
from pipeline.records.release import Numerics, Performance
from pipeline.records.run import RunRecords


def numerics(
    name: str,
    records: RunRecords,
    decisions: Sequence[Decision],
    reasons: Sequence[str],
    samples: Path,
    origin: Sequence[dict[str, str]],
) -> Numerics:
    """Accuracy of the checkpoint and of everything made from it.

    Args:
        reasons: why the run was not released; empty if it was.
        samples: the curated sample list, whose hash names the data.
        origin: what dvc.lock says went into the checkpoint.
    """
    evaluation, quantization = records.evaluation, records.quantization
    return Numerics(
        run=name,
        status="rejected" if reasons else "released",
        reasons=list(reasons),
        split=evaluation.split,
        images=evaluation.images,
        reference_miou=evaluation.miou,
        reference_pixel_accuracy=evaluation.pixel_accuracy,
        samples_sha256=sha256(samples),
        checkpoint_md5=[entry["md5"] for entry in origin if entry["path"] == f"artifacts/students/{name}"],
        artifacts=records.artifacts,
        engines=records.engines.engines,
        quantization=Int8Recipe(**{field.name: getattr(quantization, field.name) for field in fields(Int8Recipe)}),
        decisions=list(decisions),
    )


def performance(records: RunRecords, decisions: Sequence[Decision]) -> Performance:
    """The benchmark, and what was decided from it."""
    return Performance(**vars(records.benchmark), decisions=list(decisions))
