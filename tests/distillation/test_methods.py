"""What must hold for every method of the table."""

import ast
import csv
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.checkpoint import save_checkpoint
from models.segmenter import SegmentationOutput, Segmenter
from pipeline.code_digest import ROOT
from pipeline.distillation import METHODS
from pipeline.distillation.method import method_class, method_params, run_methods
from pipeline.distillation.objective import DistillationObjective, agreement_metrics, resize_teacher
from pipeline.distillation.student import train_student
from pipeline.errors import ParamsError, TrainingError
from pipeline.params.tree import load_params
from tests.distillation.outputs import build_method, random_labels, random_output
from tests.raising import raises
from tests.toy import TOY_TASK, toy_segmenter, toy_training, write_toy_samples


def _networks() -> tuple[Segmenter, Segmenter]:
    torch.manual_seed(0)
    return toy_segmenter()[0], toy_segmenter()[0]


def _outputs(student: Segmenter, teacher: Segmenter) -> tuple[SegmentationOutput, SegmentationOutput, Tensor]:
    image = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        theirs = teacher.eval()(image)
    ours = student.train()(image)
    return ours, theirs, torch.randint(student.classes, (2, *ours.logits.shape[-2:]))


CANDIDATES = ROOT / "pipeline/comparison/candidates.py"  # weights to compare by; a method need not stand there
OURS = tuple(f"{ROOT}/{package}/" for package in ("models", "pipeline", "stages"))
TOY_METHOD = """
import traceback

from pipeline.distillation.method import Method
from pipeline.params.sections import Positive, section


class Toy(Method):
    @section
    class Params:
        factor: Positive = 2.0

    called_through = set()

    def forward(self, student, teacher, labels):
        self.called_through.update(frame.filename for frame in traceback.extract_stack())
        return self.params.factor * (student.logits - teacher.logits).square().mean()
"""


def test_a_new_method_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_method.py").write_text(TOY_METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "toy", "toy_method:Toy")
    samples = write_toy_samples(tmp_path)
    segmenter, design = toy_segmenter()
    save_checkpoint(segmenter, design, {}, tmp_path / "teacher.safetensors")
    recipe = load_params(ROOT / "params.yaml").runs["pspnet_r18"]
    network = replace(recipe.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    train_student(
        name="toy", run=replace(recipe, network=network, iterations=1, distill={"toy": 1.0}),
        methods=run_methods(["toy"], {"toy": {"factor": 3.0}}), training=toy_training(log_every=1), code="",
        classes=tmp_path / "classes.json",
        samples=samples, statistics=tmp_path / "statistics.json", teacher=tmp_path / "teacher.safetensors",
        source=tmp_path / "none", pretrained=tmp_path / "none", scratch=tmp_path / "scratch", out=tmp_path / "out",
    )  # fmt: skip
    (row,) = csv.DictReader((tmp_path / "out/training.csv").read_text().splitlines())
    assert float(row["distill"]) > 0

    rows = (ROOT / "docs/reference/methods.md").read_text().partition("## The way of one batch")[2].partition("## ")[0]
    documented = re.findall(r"^\| `([\w/]+\.py)`", rows, re.MULTILINE)
    through = {
        str(Path(file).relative_to(ROOT)) for file in method_class("toy").called_through if file.startswith(OURS)
    }
    assert len(documented) == 8
    assert through == set(documented) - {"stages/student.py", "pipeline/data/crops.py", "pipeline/distillation/gdd.py"}


@pytest.mark.slow
def test_a_baseline_imports_no_method() -> None:
    ask = (
        "import sys, stages.student; print([name for name in sys.modules if name.startswith('pipeline.distillation')])"
    )
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {target.partition(":")[0] for target in METHODS.values()} & set(ast.literal_eval(done.stdout))


def test_parameters_are_checked_by_the_methods_own_section() -> None:
    assert method_params("gdd", {"noise_std": 0}) == method_class("gdd").Params(temperature=4.0, noise_std=0.0)
    for name, values, named in (
        ("gdd", {"temprature": 4.0}, ("methods.gdd.temprature", "'temperature'")),
        ("gdd", {"temperature": -1.0}, ("methods.gdd.temperature", "-1.0")),
        ("ferkd", {"sure_above": 0.1}, ("methods.ferkd", "unsure_below 0.4", "sure_above 0.1")),
        ("cirkd_memory", {"pixel_memory": 8}, ("methods.cirkd_memory", "pixel_memory 8", "cells_per_class")),
        ("fitnets", {}, ("'fitnets'", "'fitnet'")),
    ):
        with raises(ParamsError, *named):
            method_params(name, values)


@pytest.mark.parametrize("name", ["fakd", "adakd"])
def test_a_ramp_lasts_as_long_as_the_students_training_unless_it_is_set(name: str) -> None:
    student, teacher = _networks()
    assert build_method(name, {}, student, teacher, 70).ramp_iterations == 70
    assert build_method(name, {"ramp_iterations": 9}, student, teacher, 70).ramp_iterations == 9


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_named_by_the_table_alone(name: str) -> None:
    folders = (ROOT / "pipeline", ROOT / "stages", ROOT / "models")
    naming = {file for folder in folders for file in folder.rglob("*.py") if f'"{name}"' in file.read_text()}
    assert naming - {CANDIDATES} == {ROOT / "pipeline/distillation/__init__.py"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_explained_to_who_chooses(name: str) -> None:
    assert f"\n| `{name}` | " in (ROOT / "docs/reference/methods.md").read_text()


@pytest.mark.parametrize("name", METHODS)
def test_student_and_own_layers_are_taught_and_the_teacher_is_not(name: str) -> None:
    student, teacher = _networks()
    method = build_method(name, {}, student, teacher.requires_grad_(False), 10)
    loss = method(*_outputs(student, teacher))
    assert loss.ndim == 0
    loss.backward()
    gradients = [parameter.grad for parameter in student.backbone.parameters() if parameter.grad is not None]
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_no_layer_of_a_network_is_one_of_the_methods(name: str) -> None:
    """Else it would be stepped twice, or be released with the student."""
    student, teacher = _networks()
    networks = {id(p) for network in (student, teacher) for p in network.parameters()}
    assert not networks & {id(p) for p in build_method(name, {}, student, teacher, 10).parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_finite_in_half_precision(name: str) -> None:
    student, teacher = _networks()
    method = build_method(name, {}, student, teacher, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(*_outputs(student, teacher))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", METHODS)
def test_a_teacher_with_finer_maps_is_brought_to_the_students(name: str) -> None:
    student, teacher = _networks()
    method = build_method(name, {}, student, teacher, 10)
    ours, theirs, labels = _outputs(student, teacher)
    finer = SegmentationOutput(*(torch.randn(*m.shape[:2], 9, 13) for m in theirs if m is not None))
    assert torch.isfinite(method(ours, resize_teacher(ours, finer), labels))


@pytest.mark.parametrize("name", METHODS)
def test_the_teachers_auxiliary_head_is_kept_where_it_is_compared_and_only_there(name: str) -> None:
    student, teacher = _networks()
    method = build_method(name, {}, student, teacher, 10)
    ours, theirs, labels = _outputs(student, teacher)
    without = theirs._replace(auxiliary_logits=None)
    if method.needs_auxiliary_heads:
        with pytest.raises(TrainingError):
            method(ours, without, labels)
    else:
        assert torch.isfinite(method(ours, without, labels))


def test_a_map_is_resized_only_where_its_size_differs() -> None:
    student, same, other = (random_output(4, 4, *size) for size in ((5, 6), (5, 6), (10, 12)))
    assert all(a is b for a, b in zip(resize_teacher(student, same), same, strict=True))
    assert all(m is not None and m.shape[-2:] == (5, 6) for m in resize_teacher(student, other))


def test_several_methods_add_up_by_their_weights() -> None:
    student, teacher = _networks()
    image, labels = torch.rand(2, 3, 48, 64), random_labels(48, 64)
    weights = {"kd": 2.0, "at": 3.0}

    def distill(names: list[str]) -> float:
        torch.manual_seed(0)  # dropout
        methods = {name: build_method(name, {}, student, teacher, 10) for name in names}
        objective = DistillationObjective(student, teacher, methods, weights, TOY_TASK).train()
        return objective.compare(image, labels).terms["distill"].item()

    assert distill(["kd", "at"]) == pytest.approx(distill(["kd"]) + distill(["at"]), rel=1e-5)
    assert distill(["kd"]) > 0


def test_agreement_and_entropies_are_what_they_say() -> None:
    sure, torn = torch.tensor([9.0, -900.0, -900.0]), torch.tensor([5.0, 5.0, -900.0])
    student = torch.stack([sure, torn]).T.reshape(1, 3, 1, 2)
    teacher = torch.stack([sure, sure.flip(0)]).T.reshape(1, 3, 1, 2)
    shown = {name: value.item() for name, value in agreement_metrics(student, teacher).items()}
    assert shown == pytest.approx({"agreement": 0.5, "student_entropy": math.log(2) / 2, "teacher_entropy": 0.0})
