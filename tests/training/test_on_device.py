"""What must hold on whatever device trains: on a GPU where there is one (`bench gpu` runs it), else on the CPU."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.segmenter import SegmentationOutput
from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.distillation import METHODS
from pipeline.distillation.objective import DistillationObjective
from pipeline.training.device import best_device
from pipeline.training.fabric import launch
from pipeline.training.loop import fit
from pipeline.training.objective import SupervisedObjective
from tests.distillation.outputs import build_method, random_labels
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples
from tests.training.several import without_chance

DEVICE = best_device()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_on_the_device_what_it_says_in_float64(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradient of the student's maps, in float32, against the CPU."""
    torch.manual_seed(0)
    labels = random_labels(6, 8)
    without_chance(monkeypatch)
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    wide = student.backbone_channels
    shapes = [(2, 3, 6, 8), (2, 3, 6, 8), (2, student.head_channels, 6, 8), (2, wide, 6, 8)]
    ours, theirs = ([torch.randn(*shape) for shape in shapes] for _ in range(2))

    def result(kind: torch.dtype, device: torch.device) -> list[Tensor]:
        leaves = [maps.to(device, kind).requires_grad_() for maps in ours]
        fixed = [maps.to(device, kind) for maps in theirs]
        torch.manual_seed(1)
        networks = student.to(device, kind), teacher.to(device, kind)
        method = build_method(name, {}, *networks, 10).to(device, kind)
        loss = method(SegmentationOutput(*leaves), SegmentationOutput(*fixed), labels.to(device))
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        return [tensor.double().cpu() for tensor in (loss, *gradients) if tensor is not None]

    exact, found = result(torch.float64, torch.device("cpu")), result(torch.float32, DEVICE)
    for ours_, theirs_ in zip(found, exact, strict=True):
        assert (ours_ - theirs_).norm() <= 0.01 * theirs_.norm() + 1e-7


# Precision and torch.compile, which takes minutes on a CPU.
FORMS = [("fp32", "never"), pytest.param("bf16", "never", marks=pytest.mark.slow)]
if DEVICE.type == "cuda":
    FORMS += [("fp16", "never"), ("fp32", "always"), ("bf16", "always"), ("fp16", "always")]


@pytest.mark.parametrize(("precision", "compiled"), FORMS)
def test_a_distilled_toy_learns_in_every_form(precision: str, compiled: str, tmp_path: Path) -> None:
    training = toy_training(precision=precision, compile=compiled)
    torch.manual_seed(0)
    teacher, student = toy_segmenter()[0], toy_segmenter()[0]
    chosen = {"gdd": build_method("gdd", {}, student, teacher, 30)}
    objective = DistillationObjective(student, teacher, chosen, {"gdd": 1.0}, TOY_TASK)
    crops = crop_dataset(read_samples(write_toy_samples(tmp_path), "train"), TOY_CLASSES, training, 0, tmp_path)
    curve = fit(
        objective, crops, training, launch(1, precision, False), name="toy", iterations=30, learning_rate=0.05,
        momentum_shift=0.0, scratch=tmp_path / "scratch",
    )  # fmt: skip
    assert curve[-1]["task"] < 0.9 * curve[0]["task"]
    assert curve[-1]["skipped"] <= (5 if precision == "fp16" else 0)


@pytest.mark.parametrize("method", ["none", "gdd"])
def test_a_deterministic_training_ends_in_the_same_bytes(method: str, tmp_path: Path) -> None:
    samples = read_samples(write_toy_samples(tmp_path), "train")
    training = toy_training(precision="auto", deterministic=True)
    ends = []
    for _ in range(2):
        torch.manual_seed(0)
        student, teacher = toy_segmenter()[0], toy_segmenter()[0]
        objective = SupervisedObjective(student, TOY_TASK)
        if method != "none":
            chosen = {method: build_method(method, {}, student, teacher, 6)}
            objective = DistillationObjective(student, teacher, chosen, {method: 1.0}, TOY_TASK)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # PyTorch warns of what has no deterministic form
            crops, fabric = crop_dataset(samples, TOY_CLASSES, training, 0, tmp_path), launch(1, "auto", True)
            fit(
                objective, crops, training, fabric, name="toy", iterations=6, learning_rate=0.05, momentum_shift=0.0,
                scratch=tmp_path / "scratch",
            )  # fmt: skip
        ends.append({name: tensor.cpu() for name, tensor in objective.state_dict().items()})
    torch.use_deterministic_algorithms(False)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
