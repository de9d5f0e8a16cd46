"""card.md: the one page that says what a bundle holds, how good and how fast it is, and what it is not good for.

Its front matter is what model hubs read: a `model-index` with the measured quality.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from ruamel.yaml import YAML

from pipeline.deploy.evidence import Evaluation, Evidence, EvidenceError
from pipeline.deploy.shipping import Decision, defaults
from pipeline.params.deployment import ReleaseParams
from pipeline.params.runs import RunParams

TEMPLATES = Path(__file__).parent / "templates"


def render_card(
    name: str,
    run: RunParams,
    dataset: str,
    evidence: Evidence,
    decisions: Sequence[Decision],
    reasons: Sequence[str],
    contract: dict[str, Any],
    release: ReleaseParams,
    origin: Sequence[dict[str, str]],
    signed: bool,
) -> str:
    """The card's text.

    Args:
        reasons: why the run was rejected; empty if it was not.
        origin: what dvc.lock says went into the checkpoint.

    Raises:
        EvidenceError: a measurement lacks what the card has to say.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    try:
        return environment.get_template("card.md.j2").render(
            name=name, run=run, decisions=decisions, defaults=defaults(decisions), reasons=reasons, contract=contract,
            release=release, origin=origin, signed=signed, artifacts=evidence.artifacts,
            engines=evidence.engines, quantization=evidence.quantization, baseline=evidence.baseline,
            teacher=evidence.teacher, front_matter=front_matter(name, run, dataset, evidence.evaluation),
            **evidence.records,
        )  # fmt: skip
    except (UndefinedError, TypeError, KeyError) as error:
        raise EvidenceError(
            f"the measurements of {name} lack what its card has to say ({error}); delete reports/metrics/*/{name}.json "
            f"and run dvc repro"
        ) from error


def front_matter(name: str, run: RunParams, dataset: str, evaluation: Evaluation) -> str:
    """YAML of the card's head."""
    tags = ["semantic-segmentation", run.network.architecture, run.network.backbone, "onnx"]
    measured = (("mean_iou", "mIoU", evaluation.miou), ("accuracy", "pixel accuracy", evaluation.pixel_accuracy))
    record = {
        "pipeline_tag": "image-segmentation",
        "library_name": "onnx",
        "tags": [*tags, *(["knowledge-distillation"] if run.distill else [])],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-segmentation", "name": "Semantic segmentation"},
                        "dataset": {"name": dataset, "type": dataset, "split": evaluation.split},
                        "metrics": [
                            {"type": kind, "name": label, "value": value, "verified": False}
                            for kind, label, value in measured
                        ],
                        "source": {"name": "numerics.yaml of this bundle", "url": "numerics.yaml"},
                    }
                ],
            }
        ],
    }
    text = io.StringIO()
    YAML(typ="rt", pure=True).dump(record, text)
    return text.getvalue()
