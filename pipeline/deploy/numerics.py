"""numerics.yaml and perf.yaml: what a release is worth and how fast it is, in git and in the bundle.

Keys keep their order, so that two releases differ only where they differ.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.data.files import sha256, write_text
from pipeline.deploy.evidence import Evidence
from pipeline.deploy.shipping import Decision

LINE = 1000  # characters; reasons stay in one line


def numerics_record(
    name: str,
    evidence: Evidence,
    decisions: Sequence[Decision],
    reasons: Sequence[str],
    samples: Path,
    origin: Sequence[dict[str, str]],
) -> dict[str, Any]:
    """Quality of the checkpoint and of everything made from it.

    Args:
        reasons: why the run was not released; empty if it was.
        samples: the curated sample list, whose hash names the data.
        origin: what dvc.lock says went into the checkpoint.
    """
    evaluation, quantized = evidence.evaluation, evidence.records["quantize"]
    return {
        "run": name,
        "status": "rejected" if reasons else "released",
        "reasons": list(reasons),
        "split": evaluation.split,
        "images": evaluation.images,
        "reference_miou": evaluation.miou,
        "reference_pixel_accuracy": evaluation.pixel_accuracy,
        "samples_sha256": sha256(samples),
        "checkpoint_md5": [entry["md5"] for entry in origin if entry["path"] == f"artifacts/students/{name}"],
        "artifacts": [*evidence.records["export"]["artifacts"], *quantized["artifacts"]],
        "engines": evidence.records["engine"]["engines"],
        "quantization": {key: value for key, value in quantized.items() if key not in ("run", "artifacts")},
        "decisions": [decision.record() for decision in decisions],
    }


def perf_record(evidence: Evidence, decisions: Sequence[Decision]) -> dict[str, Any]:
    """What stage profile measured, and what follows from it."""
    return {**evidence.records["profile"], "decisions": [decision.record() for decision in decisions]}


def write_yaml(path: Path, record: dict[str, Any]) -> None:
    """Write YAML atomically, in the record's own order."""
    yaml = YAML(typ="rt", pure=True)
    yaml.width = LINE
    yaml.representer.ignore_aliases = lambda _: True  # type: ignore[reportAttributeAccessIssue]
    text = io.StringIO()
    yaml.dump(record, text)
    write_text(path, text.getvalue())
