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
NETWORK, TRAINING = {"torch", "cv2"}, {"torch", "timm", "lightning_fabric", "cv2"}
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

FORKS = """
import importlib, os, sys

def ask(modules, budgets):
    # First the stages that may not import torch, then those that may: it is imported once.
    for budget_has_torch in (False, True):
        if budget_has_torch:
            import torch
        for stage in (stage for stage, budget in budgets.items() if ("torch" in budget) == budget_has_torch):
            if not os.fork():
                importlib.import_module(f"stages.{stage}")
                print(stage, *(name for name in modules if sys.modules.get(name)), flush=True)
                os._exit(0)
            assert os.wait()[1] == 0, stage
"""


def _imported(code: str) -> set[str]:
    """Those of the expensive modules that a fresh process has after running this."""
    told = f"{code}\nimport sys\nprint(*(name for name in {list(TIMES)} if sys.modules.get(name)))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def of_stages() -> dict[str, set[str]]:
    """What each stage imports: a fork of a process that has imported nothing, or no more than the stage may."""
    told = subprocess.run(
        [sys.executable, "-c", f"{FORKS}\nask({list(TIMES)}, {BUDGETS})"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = (line.split() for line in told.stdout.splitlines())
    return {stage: set(found) for stage, *found in lines}


def test_every_stage_has_a_budget() -> None:
    assert set(BUDGETS) == {"resolve", *SCRIPTS}


@pytest.mark.slow
@pytest.mark.parametrize("stage", BUDGETS)
def test_a_stage_imports_no_more_than_its_budget(stage: str, of_stages: dict[str, set[str]]) -> None:
    assert of_stages[stage] <= BUDGETS[stage]


@pytest.mark.slow
def test_a_training_on_a_cpu_does_not_import_the_compiler() -> None:
    code = """
from benchmarks.train import Case, our_step, random_batch
from pipeline.training.fabric import launch
case = Case(form="ours", architecture="pspnet", method="gdd", teacher="resnet10t", height=32, width=32, batch_size=2,
            warm_up=0, steps=1)
our_step(case, launch(1, "auto", False))[0](random_batch(case))
"""
    imported = _imported(code)
    assert "lightning_fabric" in imported
    assert "torch._dynamo" not in imported


def test_building_a_network_does_not_import_the_compiler() -> None:
    built = 'from models.backbone import build_backbone\nbuild_backbone("resnet18_v1c", 16)'
    assert _imported(built) == {"torch", "timm"}


@pytest.mark.slow
def test_what_torchvision_asks_of_the_compiler_is_there_when_it_asks() -> None:
    call = "torchvision.ops.roi_align(torch.rand(1, 3, 8, 8), [torch.tensor([[0, 0, 4, 4.0]])], 2)"
    assert "torch" in _imported(f"import torch, models.timm_backbone, torchvision\n{call}")
