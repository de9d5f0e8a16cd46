"""The fast ways of the generator are the slow one: same result, same gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.distillation import generator as module
from pipeline.distillation.generator import Generator, WideConvolution, composing_pays, rebuild
from pipeline.distillation.method import align


def _gradients(result: Tensor, *parts: Tensor | nn.Module) -> list[Tensor]:
    leaves = [leaf for part in parts for leaf in (part.parameters() if isinstance(part, nn.Module) else [part])]
    weight = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    return list(torch.autograd.grad((weight * result).sum(), leaves))


@pytest.mark.parametrize(("narrow", "wide"), [(3, 7), (20, 33), (16, 16)])
def test_composed_or_apart_everything_is_the_same(narrow: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the border: the bias and the noise end there, as they do before a convolution that pads with zeros."""
    torch.manual_seed(0)
    aligned, generator = align(narrow, wide).double(), Generator(wide).double()
    student = torch.randn(2, narrow, 5, 6, dtype=torch.float64, requires_grad=True)
    kept, noise = (torch.rand(2, 1, 5, 6, dtype=torch.float64) for _ in range(2))
    plain = generator(aligned(student) * kept + noise)
    expected = _gradients(plain, student, aligned, generator)
    for pays in (True, False):
        monkeypatch.setattr(module, "composing_pays", lambda *_, pays=pays: pays)
        result = rebuild(aligned, generator, student, kept, noise)
        torch.testing.assert_close(result, plain, rtol=1e-12, atol=1e-12)
        for ours, theirs in zip(_gradients(result, student, aligned, generator), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_composing_in_half_precision_is_as_near_to_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    aligned, generator = align(64, 256), Generator(256)
    student, noise = torch.randn(2, 64, 9, 9), torch.randn(2, 1, 9, 9)
    exact = generator(aligned(student) + noise)

    def error(pays: bool) -> float:
        monkeypatch.setattr(module, "composing_pays", lambda *_: pays)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rebuilt = rebuild(aligned, generator, student, torch.ones_like(noise), noise)
        return ((rebuilt.float() - exact).norm() / exact.norm()).item()

    assert error(True) < 1.2 * error(False) < 0.02


def test_composing_is_for_many_cells_and_few_student_channels() -> None:
    gdd = nn.Conv2d(512, 2048, 1)
    assert composing_pays(gdd, torch.empty(8, 512, 23, 30, device="meta"))
    assert not composing_pays(gdd, torch.empty(1, 512, 12, 15, device="meta"))
    assert not composing_pays(nn.Conv2d(2048, 512, 1), torch.empty(8, 2048, 64, 64, device="meta"))


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_wide_convolution_is_a_convolution(with_bias: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, 6, 7, dtype=torch.float64), torch.randn(4, 5, 3, 3, dtype=torch.float64)
    bias = torch.randn(4, dtype=torch.float64) if with_bias else None
    leaves = [leaf.requires_grad_() for leaf in (x, weight, bias) if leaf is not None]
    ours, plain = WideConvolution.apply(x, weight, bias), F.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(ours, plain, rtol=0, atol=0)
    for a, b in zip(_gradients(ours, *leaves), _gradients(plain, *leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("bf16", "narrow", "wide"), [(True, 512, 1024), (False, 64, 512)])
def test_wide_layers_take_the_fast_way_on_the_cpu_and_narrow_ones_do_not(
    bf16: bool, narrow: int, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    apply = WideConvolution.apply
    monkeypatch.setattr(WideConvolution, "apply", lambda *inputs: taken.append(len(inputs[1])) or apply(*inputs))
    for channels in (narrow, wide):
        student, plane = torch.randn(1, channels, 4, 4), torch.zeros(1, 1, 4, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            rebuild(nn.Identity(), Generator(channels), student, torch.ones_like(plane), plane)
    assert taken == [wide, wide]
