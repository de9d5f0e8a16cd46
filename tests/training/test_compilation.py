"""Compiled networks train as eager ones; what cannot be compiled, or does not pay, stays eager and says why."""

from dataclasses import replace

import pytest
import torch

from models.classifier import new_classifier
from pipeline.distillation.objective import DistillationObjective
from pipeline.params.training import PretrainingParams, TrainingParams
from pipeline.pretraining.pretrain import ImitationObjective
from pipeline.training import compilation
from pipeline.training.compilation import compile_networks
from pipeline.training.device import launch
from tests.toy import TOY_TASK, toy_segmenter, toy_training

TRAINING = toy_training(compile="always")


@pytest.fixture
def objective() -> DistillationObjective:
    torch.manual_seed(0)
    objective = DistillationObjective(toy_segmenter()[0], toy_segmenter()[0], {}, {}, TOY_TASK)
    return objective.to(memory_format=torch.channels_last).train()  # type: ignore[reportCallIssue]


def test_what_is_compiled_is_the_same_function(
    objective: DistillationObjective, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")  # traced and differentiated, not translated
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    image = torch.rand(2, 3, 48, 64).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(1)
    eager = objective.network.eval()(image)
    objective.train()
    assert _compiled(objective, TRAINING).startswith("compiled: ")
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.state_dict().items())
    assert all(parameter.grad is None for parameter in objective.parameters())
    for network in (objective.network, objective.teacher):
        assert network._compiled_call_impl is not None
    for before_, after in zip(eager, objective.network.eval()(image), strict=True):
        torch.testing.assert_close(after, before_)


def test_a_pretraining_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    student, teacher = new_classifier("resnet10t", 3), new_classifier("resnet10t", 3)
    objective = ImitationObjective(student, teacher, PretrainingParams(mixup=0.0)).train()
    assert compile_networks(objective, TRAINING, launch(1, "fp32", False), images=2).startswith("compiled: ")
    for network in (student, teacher):
        assert network._compiled_call_impl is not None


def test_a_compiler_that_fails_is_named(objective: DistillationObjective, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    said = _compiled(objective, TRAINING)
    assert said.startswith("not compiled: ")
    assert "no-such-compiler" in said or "CppCompiler" in said
    assert objective.network._compiled_call_impl is None
    objective.network(torch.rand(2, 3, 48, 64))


def test_auto_keeps_what_is_faster(objective: DistillationObjective, monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = replace(TRAINING, compile="auto")
    assert "CPU" in _compiled(objective, automatic)
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    monkeypatch.setattr(compilation, "_against", lambda *_: "")
    for ratio, wanted in ((2.0, "compiled: 2.00"), (0.5, "not compiled: it would be 0.50")):
        seconds = iter([torch.tensor(ratio), torch.tensor(1.0)])
        monkeypatch.setattr(compilation, "_seconds", lambda *_, seconds=seconds: next(seconds))
        assert _compiled(objective, automatic).startswith(wanted)
        assert (objective.network._compiled_call_impl is not None) == (ratio > 1)


def test_never_is_never(objective: DistillationObjective) -> None:
    assert "never" in _compiled(objective, replace(TRAINING, compile="never"))
    assert objective.network._compiled_call_impl is None


def _compiled(objective: DistillationObjective, training: TrainingParams) -> str:
    return compile_networks(objective, training, launch(1, "fp32", False), images=2)
