"""Inspected samples for tests: kept, labelled and unremarkable unless a test says otherwise."""

from typing import Any

from pipeline.inspection.records import InspectedSample, NetworkScores

SAMPLE: dict[str, Any] = {
    "id": "a", "split": "val", "sequence": "s", "image": "raw/a.png", "mask": "raw/a_labels.png",
    "image_sha256": "1" * 64, "mask_sha256": "2" * 64, "size": (48, 64), "decision": "keep", "rules": [], "reasons": [],
    "hardness": 0.25, "mistake_score": 0.0, "mistakes": [], "position": (0.5, -1.0), "networks": {},
}  # fmt: skip
JUDGEMENT: dict[str, Any] = {
    "prediction": "predictions/a.png", "miou": 0.5, "pixel_accuracy": 0.75, "boundary_error": 0.25, "agreement": 0.875,
    "gain": None,
}  # fmt: skip
UNMEASURED: dict[str, Any] = {"hardness": None, "mistake_score": None, "position": None}


def sample(**changes: Any) -> InspectedSample:
    return InspectedSample(**{**SAMPLE, **changes})


def scores(**changes: Any) -> NetworkScores:
    return NetworkScores(**{**JUDGEMENT, **changes})
