"""The training loop on a GPU that is not there: devices, types and layouts fit, and no step waits for the device."""

from pathlib import Path

import pytest
import torch

from pipeline.distillation import METHODS
from pipeline.plan.fake_gpu import fake_fabric
from tests.fake_cuda.toy_fit import fit_on_fake_gpu

WAITS = {"pipeline/training/loop.py", "pipeline/training/step.py"}
"""The loop reads values where it logs; in fp16 the scale of the gradients is read in every step."""
AT_ONCE = ("none", "gdd")
"""Methods that `make test` tries; the others differ in their loss alone, which tests/training/test_on_device.py has."""
PAIRS = [
    pytest.param(method, precision, marks=() if method in AT_ONCE else pytest.mark.slow)
    for method in ("none", *METHODS)
    for precision in ("bf16", "fp16", "fp32")
]


@pytest.mark.parametrize(("method", "precision"), PAIRS)
def test_every_method_trains_in_every_precision_and_does_not_wait(method: str, precision: str, tmp_path: Path) -> None:
    curve, watch = fit_on_fake_gpu(method, precision, tmp_path)
    assert [row["iteration"] for row in curve] == [2]
    places = {place.partition(":")[0] for _, place in watch.waits}
    assert places <= WAITS
    in_steps = sum(count for (_, place), count in watch.waits.items() if "step.py" in place)
    assert in_steps == (2 if precision == "fp16" else 0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_parts_of_a_batch_and_refused_losses(precision: str, tmp_path: Path) -> None:
    fit_on_fake_gpu("gdd", precision, tmp_path, accumulate=2, on_bad_loss="skip")


@pytest.mark.parametrize("method", ["gdd", "kd"])
def test_dot_waits_once_in_a_step(method: str, tmp_path: Path) -> None:
    _, watch = fit_on_fake_gpu(method, "bf16", tmp_path, momentum_shift=0.05)
    assert sum(count for (_, place), count in watch.waits.items() if "dot.py" in place) == 2


@pytest.mark.parametrize(
    "method", ["none", "gdd", *(pytest.param(m, marks=pytest.mark.slow) for m in ("cwd", "diffkd"))]
)
def test_a_deterministic_training_does_not_wait_either(method: str, tmp_path: Path) -> None:
    try:
        _, watch = fit_on_fake_gpu(method, "bf16", tmp_path, deterministic=True)
    finally:
        torch.use_deterministic_algorithms(False)
    assert {place.partition(":")[0] for _, place in watch.waits} <= WAITS


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "16-mixed"), ((8, 0), "bf16-mixed")])
def test_auto_takes_the_half_precision_of_the_card(capability: tuple[int, int], precision: str) -> None:
    assert fake_fabric("auto", capability).strategy.precision.precision == precision
