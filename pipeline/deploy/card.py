"""card.md: the page that says what a bundle holds, how accurate and fast it is, and its limits.

Model hubs read its front matter: a `model-index` with the measured accuracy.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

from pipeline.deploy.precision_choice import defaults
from pipeline.params.deployment import ReleaseParams
from pipeline.params.runs import RunParams
from pipeline.records.decision import Decision
from pipeline.records.evaluation import Evaluation
from pipeline.records.run import RunRecords

RESOURCES = ("templates",)  # files that belong to this code, for its digest
TEMPLATES = Path(__file__).parent / RESOURCES[0]


def render_card(
    name: str,
    run: RunParams,
    dataset: str,
    records: RunRecords,
    baseline: Evaluation,
    teacher: Evaluation,
    decisions: Sequence[Decision],
    reasons: Sequence[str],
    contract: dict[str, Any],
    release: ReleaseParams,
    origin: Any,
    signed: bool,
) -> str:
    """Fill in the card's template.

    Args:
        reasons: why the run was rejected; empty if it was not.
        origin: what dvc.lock says went into the checkpoint: `files` and `parameters`.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("card.md.j2").render(
        name=name, run=run, baseline=baseline, teacher=teacher, decisions=decisions, defaults=defaults(decisions),
        reasons=reasons, contract=contract, release=release, origin=origin.files, signed=signed,
        parameters=json.dumps(origin.parameters, indent=1),
        front_matter=front_matter(name, run, dataset, records.evaluation), artifacts=records.artifacts,
        evaluation=records.evaluation, quantization=records.quantization, engines=records.engines.engines,
        benchmark=records.benchmark,
    )  # fmt: skip


def front_matter(name: str, run: RunParams, dataset: str, evaluation: Evaluation) -> str:
    """Write the YAML of the card's head."""
    tags = ["semantic-segmentation", run.network.architecture, run.network.backbone, "onnx"]
    measured = (("mean_iou", "mIoU", evaluation.miou), ("accuracy", "pixel accuracy", evaluation.pixel_accuracy))
    results = {
        "task": {"type": "image-segmentation", "name": "Semantic segmentation"},
        "dataset": {"name": dataset, "type": dataset, "split": evaluation.split},
        "metrics": [
            {"type": kind, "name": label, "value": value, "verified": False} for kind, label, value in measured
        ],
        "source": {"name": "numerics.yaml of this bundle", "url": "numerics.yaml"},
    }
    content = {
        "pipeline_tag": "image-segmentation",
        "library_name": "onnx",
        "tags": [*tags, *(["knowledge-distillation"] if run.distill else [])],
        "model-index": [{"name": name, "results": [results]}],
    }
    text = io.StringIO()
    YAML(typ="rt", pure=True).dump(content, text)
    return text.getvalue()
