"""Render card.md: the content of a bundle, its accuracy, latency and limits. Model hubs read its front matter."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template

from pipeline.deploy.bundle_records import Provenance
from pipeline.deploy.decisions import defaults
from pipeline.params.deployment import ReleaseParams
from pipeline.params.runs import RunParams
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import yaml_text
from pipeline.records.release import Decision
from pipeline.records.run import RunRecords

RESOURCES = ("templates",)  # files that count in the digest of this code


def render_card(
    run: RunParams, dataset: str, records: RunRecords, baseline: Evaluation, teacher: Evaluation,
    decisions: Sequence[Decision], reasons: Sequence[str], contract: dict[str, Any], release: ReleaseParams,
    origin: Provenance, signed: bool,
) -> str:  # fmt: skip
    """Fill in the template of the card; `reasons` tell why the run was rejected, and are empty if it was released."""
    text = (Path(__file__).parent / "templates/card.md.j2").read_text(encoding="utf-8")
    return Template(text, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).render(
        vars(records), artifacts=records.artifacts, run=run, baseline=baseline, teacher=teacher,
        decisions=decisions, defaults=defaults(decisions), reasons=reasons, contract=contract, release=release,
        origin=origin.files, parameters=json.dumps(origin.parameters, indent=1), signed=signed,
        splits=origin.parameters["training"]["splits"],
        front_matter=front_matter(run, dataset, records.evaluation, release.license),
    )  # fmt: skip


def front_matter(run: RunParams, dataset: str, evaluation: Evaluation, license: str) -> str:
    """Return the YAML front matter of the card."""
    tags = ["semantic-segmentation", run.network.architecture, run.network.backbone, "onnx"]
    measured = (
        ("mean_iou", f"mIoU{evaluation.miou_scope}", evaluation.miou),
        ("accuracy", "pixel accuracy", evaluation.pixel_accuracy),
    )
    result = {
        "task": {"type": "image-segmentation", "name": "Semantic segmentation"},
        "dataset": {"name": dataset, "type": dataset, "split": evaluation.split},
        "metrics": [
            {"type": kind, "name": label, "value": value, "verified": False} for kind, label, value in measured
        ],
        "source": {"name": "numerics.yaml of this bundle", "url": "numerics.yaml"},
    }
    return yaml_text(
        {
            "license": license,
            "pipeline_tag": "image-segmentation",
            "library_name": "onnx",
            "tags": [*tags, *(["knowledge-distillation"] if run.distill else [])],
            "model-index": [{"name": evaluation.name, "results": [result]}],
        }
    )
