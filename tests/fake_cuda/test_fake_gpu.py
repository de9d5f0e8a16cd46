"""The fake GPU itself: its backward pass is PyTorch's, it counts memory as an allocator does, it finds faults."""

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from models.build import build_segmenter
from pipeline.data.crops import TrainingBatch
from pipeline.distillation import METHODS
from pipeline.plan.fake_gpu import fake_gpu, keep_saved_tensors, run_backward
from pipeline.plan.step_cost import CARDS, step_cost
from pipeline.training.fabric import launch
from pipeline.training.objective import SupervisedObjective
from pipeline.training.step import LossGuard, Stepper
from tests.fake_cuda.toy_fit import toy_objective
from tests.toy import TOY_DESIGN, TOY_TASK, toy_training


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_the_backward_pass_is_pytorchs(method: str) -> None:
    torch.manual_seed(0)
    objective = toy_objective(method).double().train()
    parameters = [p for p in objective.parameters() if p.requires_grad]
    image, labels = torch.rand(2, 3, 48, 64, dtype=torch.float64), torch.randint(3, (2, 48, 64))
    state = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    gradients = []
    for differentiate in (Tensor.backward, run_backward):
        objective.load_state_dict(state)
        objective.zero_grad(set_to_none=True)
        torch.manual_seed(1)
        with keep_saved_tensors():
            differentiate(objective.compare(image, labels).total)
        gradients.append([None if p.grad is None else p.grad.clone() for p in parameters])
    for expected, found in zip(*gradients, strict=True):
        if expected is None:
            assert found is None
        else:
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_memory_is_what_an_allocator_counts() -> None:
    """The same step on the CPU, whose allocations PyTorch's profiler lists."""
    training = toy_training(crop_height=192, crop_width=256, batch_size=8)
    torch.manual_seed(0)
    counted = step_cost(SupervisedObjective(build_segmenter(TOY_DESIGN), TOY_TASK), training, 0.0, CARDS["h100"])
    real = _peak_of_steps_on_the_cpu(training)
    assert counted.peak_bytes - counted.fixed_bytes == pytest.approx(real, rel=0.1)


def _peak_of_steps_on_the_cpu(training) -> int:
    """Bytes above what there was before them."""
    objective = SupervisedObjective(build_segmenter(TOY_DESIGN), TOY_TASK)
    objective.to(memory_format=torch.channels_last).train()  # type: ignore[reportCallIssue]
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.01, momentum=0.9, fused=True)  # as on a GPU
    for parameter in objective.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    stepper = Stepper(launch(1, "fp32", False), objective, optimizer, LossGuard(0.0), 10.0)
    images = torch.zeros(8, 192, 256, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    batch = TrainingBatch(images, torch.zeros(8, 192, 256, dtype=torch.uint8), torch.zeros(8, 4), [""] * 8)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        for iteration in range(2):
            stepper.step(iteration, [batch])
    now = peak = 0
    for event in trace.profiler.kineto_results.events():  # type: ignore[reportOptionalMemberAccess]
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


class Mixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.arange(x.shape[-1])  # left on the CPU


def test_mixed_devices_fail_and_waits_are_found() -> None:
    with fake_gpu() as watch:
        x = torch.ones(2, 3, device="cuda")
        with pytest.raises(RuntimeError) as mixed:
            Mixed()(x)
        assert "device" in str(mixed.value)
        x[x > 0].sum().item()
        x.to("cpu")
    assert [what for what, _ in watch.waits] == ["boolean index", "value read", "copy from cuda to cpu"]
