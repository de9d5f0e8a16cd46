"""What a process imports before it works: a run of the pipeline starts about forty, and each pays for its imports."""

import subprocess
import sys

import pytest

from pipeline.stage_table import SCRIPTS
from tests.fresh_project import ROOT

TIMES = {  # seconds on the first machine where they were measured
    "torch": 1.5, "torch._dynamo": 1.3, "timm": 0.5, "lightning_fabric": 0.2, "torchmetrics": 2.1, "matplotlib": 0.7,
    "scipy": 0.8, "onnxscript": 0.9, "onnx": 0.2, "onnxruntime": 0.2, "cv2": 0.2, "fiftyone": 2.6, "dvc": 0.3,
    "sklearn": 1.0, "openvino": 0.2, "tensorrt_rtx": 0.1,
}  # fmt: skip
NETWORK, TRAINING = {"torch", "cv2"}, {"torch", "torch._dynamo", "timm", "lightning_fabric", "cv2"}
BUDGETS = {
    "resolve": set(),
    "prepare": set(),
    "curate": {"cv2"},
    "preflight": NETWORK | {"timm"},
    "pretrain": TRAINING,
    "teacher": TRAINING,
    "student": TRAINING,
    "evaluate": {"torch"},
    "export": NETWORK | {"onnx", "onnxscript", "onnxruntime"},
    "quantize": {"onnx", "onnxruntime", "cv2"},
    "engine": {"cv2"},
    "benchmark": set(),
    "release": {"cv2"},
    "inspect": NETWORK,
    "report": {"matplotlib"},
}


def _imported(code: str) -> set[str]:
    """Those of the expensive modules that a fresh process has after running this."""
    told = f"{code}\nimport sys\nprint(*(name for name in {list(TIMES)} if sys.modules.get(name)))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_stage_has_a_budget() -> None:
    assert set(BUDGETS) == {"resolve", *SCRIPTS}


@pytest.mark.parametrize("stage", BUDGETS)
def test_a_stage_imports_no_more_than_its_budget(stage: str) -> None:
    assert _imported(f"import stages.{stage}") <= BUDGETS[stage]


def test_building_a_network_does_not_import_the_compiler() -> None:
    built = 'from models.backbone import build_backbone\nbuild_backbone("resnet18_v1c", 16)'
    assert _imported(built) == {"torch", "timm"}


def test_what_torchvision_asks_of_the_compiler_is_there_when_it_asks() -> None:
    call = "torchvision.ops.roi_align(torch.rand(1, 3, 8, 8), [torch.tensor([[0, 0, 4, 4.0]])], 2)"
    assert "torch" in _imported(f"import torch, models.timm_backbone, torchvision\n{call}")
