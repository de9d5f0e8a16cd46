"""What must hold for every method of the table."""

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.comparison.code import ROOT
from pipeline.distillation import METHODS
from pipeline.distillation.dist import ComparesAuxiliaryHeads, NoAuxiliaryHead
from pipeline.distillation.objective import DistillationObjective, resized_to, watched
from pipeline.params import MethodsParams, load_params
from tests.distillation.outputs import random_labels, random_output
from tests.toy import TOY_TASK, toy_segmenter


@pytest.fixture(scope="module")
def params() -> MethodsParams:
    return load_params(ROOT / "params.yaml").methods


def _networks() -> tuple[Segmenter, Segmenter]:
    torch.manual_seed(0)
    return toy_segmenter()[0], toy_segmenter()[0]


def _outputs(student: Segmenter, teacher: Segmenter) -> tuple[SegmentationOutput, SegmentationOutput, Tensor]:
    image = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        theirs = teacher.eval()(image)
    return student.train()(image), theirs, torch.randint(student.classes, (2, 48, 64))


def test_every_method_has_its_section() -> None:
    assert set(METHODS) == {field.name for field in fields(MethodsParams)}


def test_every_method_is_compared_with_the_others_by_default() -> None:
    compared = {
        name for weights in load_params(ROOT / "params.yaml").comparison.candidates.values() for name in weights
    }
    assert compared == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_named_by_the_table_and_its_params_alone(name: str) -> None:
    """So a new one touches its own file, one line of the table, its params, their values, its test and its row."""
    folders = (ROOT / "pipeline", ROOT / "stages", ROOT / "models")
    naming = {file for folder in folders for file in folder.rglob("*.py") if f'"{name}"' in file.read_text()}
    assert naming == {ROOT / "pipeline/distillation/__init__.py"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_explained_to_who_chooses(name: str) -> None:
    assert f"\n| `{name}` | " in (ROOT / "docs/methods.md").read_text()


@pytest.mark.parametrize("name", METHODS)
def test_student_and_own_layers_are_taught_and_the_teacher_is_not(name: str, params: MethodsParams) -> None:
    student, teacher = _networks()
    method = METHODS[name](params, student, teacher.requires_grad_(False))
    loss = method(*_outputs(student, teacher))
    assert loss.ndim == 0
    loss.backward()
    gradients = [parameter.grad for parameter in student.backbone.parameters() if parameter.grad is not None]
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_no_layer_of_a_network_is_one_of_the_methods(name: str, params: MethodsParams) -> None:
    """Else it would be stepped twice, or ship with the student."""
    student, teacher = _networks()
    networks = {id(p) for network in (student, teacher) for p in network.parameters()}
    assert not networks & {id(p) for p in METHODS[name](params, student, teacher).parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_finite_in_half_precision(name: str, params: MethodsParams) -> None:
    student, teacher = _networks()
    method = METHODS[name](params, student, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(*_outputs(student, teacher))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", METHODS)
def test_a_teacher_with_finer_maps_is_brought_to_the_students(name: str, params: MethodsParams) -> None:
    student, teacher = _networks()
    method = METHODS[name](params, student, teacher)
    ours, theirs, labels = _outputs(student, teacher)
    finer = SegmentationOutput(*(torch.randn(*m.shape[:2], 9, 13) for m in theirs if m is not None))
    assert torch.isfinite(method(ours, resized_to(ours, finer), labels))


@pytest.mark.parametrize("name", METHODS)
def test_the_teachers_auxiliary_head_is_kept_where_it_is_compared_and_only_there(
    name: str, params: MethodsParams
) -> None:
    student, teacher = _networks()
    method = METHODS[name](params, student, teacher)
    ours, theirs, labels = _outputs(student, teacher)
    without = theirs._replace(auxiliary_logits=None)
    if isinstance(method, ComparesAuxiliaryHeads):
        with pytest.raises(NoAuxiliaryHead):
            method(ours, without, labels)
    else:
        assert torch.isfinite(method(ours, without, labels))


def test_a_map_is_resized_only_where_its_size_differs() -> None:
    student, same, other = (random_output(4, 4, *size) for size in ((5, 6), (5, 6), (10, 12)))
    assert all(a is b for a, b in zip(resized_to(student, same), same, strict=True))
    assert all(m is not None and m.shape[-2:] == (5, 6) for m in resized_to(student, other))


def test_several_methods_add_up_by_their_weights(params: MethodsParams) -> None:
    student, teacher = _networks()
    image, labels = torch.rand(2, 3, 48, 64), random_labels(48, 64)
    weights = {"kd": 2.0, "at": 3.0}

    def distill(names: list[str]) -> float:
        torch.manual_seed(0)  # dropout
        methods = {name: METHODS[name](params, student, teacher) for name in names}
        objective = DistillationObjective(student, teacher, methods, weights, TOY_TASK).train()
        return objective.compare(image, labels).terms["distill"].item()

    assert distill(["kd", "at"]) == pytest.approx(distill(["kd"]) + distill(["at"]), rel=1e-5)
    assert distill(["kd"]) > 0


def test_agreement_and_entropies_are_what_they_say() -> None:
    sure, torn = torch.tensor([9.0, -900.0, -900.0]), torch.tensor([5.0, 5.0, -900.0])
    student = torch.stack([sure, torn]).T.reshape(1, 3, 1, 2)
    teacher = torch.stack([sure, sure.flip(0)]).T.reshape(1, 3, 1, 2)
    shown = {name: value.item() for name, value in watched(student, teacher).items()}
    assert shown == pytest.approx({"agreement": 0.5, "student_entropy": math.log(2) / 2, "teacher_entropy": 0.0})
