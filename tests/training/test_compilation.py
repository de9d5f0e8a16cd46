"""Compiled objectives train as eager ones; what cannot be compiled, or does not pay, stays eager and says why."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.classifier import new_classifier
from pipeline.data.crops import BatchShard, TrainingBatch, _collate
from pipeline.distillation import METHODS
from pipeline.params.training import PretrainingParams
from pipeline.pretraining.pretrain import ImitationObjective
from pipeline.training import compilation
from pipeline.training.compilation import FORMS, compile_objective
from pipeline.training.fabric import launch
from pipeline.training.objective import Objective
from pipeline.training.optimizer import make_optimizer
from pipeline.training.step import LossGuard, Stepper
from tests.distillation.outputs import build_method, random_labels, random_output
from tests.fake_cuda.toy_fit import toy_objective
from tests.toy import toy_pair, toy_segmenter, toy_training

TRAINING = toy_training(compile="always")
SHARD = BatchShard(batch_size=2)
PLAIN, GRAPHS = FORMS


def _stepper(objective: Objective, momentum_shift: float = 0.0) -> Stepper:
    objective.to(memory_format=torch.channels_last).train()  # type: ignore[reportCallIssue]
    optimizer = make_optimizer(objective.parameters(), 0.01, 0.9, 5e-4, momentum_shift, True)
    return Stepper(launch(1, "fp32", False), objective, optimizer, LossGuard(10.0), 10.0)


@pytest.fixture
def stepper() -> Stepper:
    torch.manual_seed(0)
    return _stepper(toy_objective("gdd"))


def _batch() -> TrainingBatch:
    """As a loader gives it."""
    random = np.random.default_rng(1)
    change = np.array([16.0, 1.2, 0.8, 9.0], np.float32)
    return _collate([(*toy_pair(int(seed)), change, "") for seed in random.integers(100, size=2)])


def _gradients(stepper: Stepper) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    stepper.gradients([_batch()])
    return {name: p.grad.clone() for name, p in stepper.objective.named_parameters() if p.grad is not None}


@pytest.mark.slow
def test_what_is_compiled_has_the_same_gradients(stepper: Stepper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")  # traced and differentiated, not translated
    before = {name: tensor.clone() for name, tensor in stepper.objective.state_dict().items()}
    torch._dynamo.utils.counters.clear()
    assert compile_objective(stepper, TRAINING, SHARD).startswith(f"{PLAIN}: ")
    assert not torch._dynamo.utils.counters["graph_break"]
    assert all(torch.equal(before[name], tensor) for name, tensor in stepper.objective.state_dict().items())
    assert all(parameter.grad is None for parameter in stepper.objective.parameters())
    compiled = _gradients(stepper)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # the trial's serves what the loader gives
    stepper.objective.load_state_dict(before)
    stepper.objective._compiled_call_impl = None
    eager = _gradients(stepper)
    assert compiled.keys() == eager.keys()
    largest = max(gradient.abs().max().item() for gradient in eager.values())
    for name, gradient in eager.items():
        torch.testing.assert_close(compiled[name], gradient, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.slow
def test_a_pretraining_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    student, teacher = new_classifier("resnet10t", 3), new_classifier("resnet10t", 3)
    stepper = _stepper(ImitationObjective(student, teacher, PretrainingParams(mixup=0.5)))
    assert compile_objective(stepper, TRAINING, SHARD).startswith(f"{PLAIN}: ")
    assert stepper.objective._compiled_call_impl is not None


@pytest.mark.parametrize("name", METHODS)
def test_no_method_breaks_the_graph(name: str) -> None:
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    method = build_method(name, {}, student, teacher)
    outputs = [random_output(net.backbone_channels, net.head_channels, 6, 8) for net in (student, teacher)]
    torch.compile(method, fullgraph=True, backend="eager")(*outputs, random_labels(6, 8)).backward()


@pytest.mark.parametrize(
    ("message", "named"),
    [("no compiler\nand much more", "OSError: no compiler"), pytest.param("", "OSError", marks=pytest.mark.slow)],
)
def test_a_compiler_that_fails_is_named(
    message: str, named: str, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(message)

    monkeypatch.setattr(compilation, "BACKEND", broken)
    said = compile_objective(stepper, TRAINING, SHARD)
    assert named in said
    assert "much more" not in said
    assert stepper.objective._compiled_call_impl is None
    stepper.gradients([_batch()])


def test_auto_keeps_what_is_fastest(stepper: Stepper, monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = replace(TRAINING, compile="auto")
    assert "CPU" in compile_objective(stepper, automatic, SHARD)
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    monkeypatch.setattr(compilation, "_against", lambda *_: "")
    for seconds, wanted in (([2.0, 1.0], "2.00"), ([1.0, 2.0], "0.50")):
        monkeypatch.setattr(compilation, "_seconds", lambda *_, left=list(seconds): torch.tensor(left.pop(0)))
        assert wanted in compile_objective(stepper, automatic, SHARD)
        assert (stepper.objective._compiled_call_impl is not None) == (seconds[0] > seconds[1])


@pytest.mark.parametrize(
    ("seconds", "parts", "wanted"),
    [
        ([4.0, 2.0, 1.0], 1, f"{GRAPHS}: 4.00"),
        ([4.0, 2.0, 3.0], 1, f"{PLAIN}: 2.00"),
        ([4.0, 2.0], 2, f"{PLAIN}: 2.00"),  # not tried: a graph's gradients cannot be added up over parts
    ],
)
def test_cuda_graphs_are_tried_on_a_gpu(
    stepper: Stepper, seconds: list[float], parts: int, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "_against", lambda *_: "")
    monkeypatch.setattr(compilation, "_seconds", lambda *_: torch.tensor(seconds.pop(0)))
    monkeypatch.setattr(stepper, "fabric", SimpleNamespace(device=SimpleNamespace(type="cuda")))
    assert compile_objective(stepper, TRAINING, BatchShard(4, parts)).startswith(wanted)
    assert not seconds


def test_never_is_never_and_dot_cannot_be(stepper: Stepper) -> None:
    assert "never" in compile_objective(stepper, replace(TRAINING, compile="never"), SHARD)
    assert "DOT" in compile_objective(_stepper(toy_objective("kd"), momentum_shift=0.05), TRAINING, SHARD)
    assert stepper.objective._compiled_call_impl is None
