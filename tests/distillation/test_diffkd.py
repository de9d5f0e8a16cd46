"""DiffKD: the authors' numbers at every step, which part each loss teaches, and the form on class maps."""

import pytest
import torch
from torch import Tensor

from pipeline.distillation.diffkd import (
    SAMPLED_STEPS,
    DiffKDLogits,
    DiffusionTerms,
    KnowledgeDiffusion,
    noise_schedule,
)
from pipeline.distillation.fitnet import mean_squared_distance
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient, in_single_precision
from tests.distillation.outputs import make, random_labels, random_output
from tests.vectors.reading import Vector, weights_under

TOLERANCE = 1e-5  # the authors compute the noise schedule's roots in single precision
THEIR_NAMES = {
    "ae.encoder.": "encoder.", "ae.decoder.0.": "decoder.", "trans.": "translate.",
    "model.pred.": "denoiser.layers.", "noise_adapter.feat.0.": "adapter.features.",
    "noise_adapter.pred.": "adapter.classify.", "proj.": "project.",
}  # fmt: skip


def _our_name(theirs: str) -> str:
    for prefix, ours in THEIR_NAMES.items():
        if theirs.startswith(prefix):
            return ours + theirs.removeprefix(prefix)
    raise AssertionError(theirs)


def _diffusion(vector: Vector, arrays: Arrays) -> KnowledgeDiffusion:
    student, teacher = arrays["feat_s"], arrays["feat_t"]
    method = KnowledgeDiffusion(
        student.shape[1], teacher.shape[1], vector.hyper["ae_channels"], True, 4, mean_squared_distance
    ).to(student.dtype)
    theirs = weights_under(arrays, "w.") | weights_under(arrays, "b.")
    missing, unexpected = method.load_state_dict({_our_name(name): w for name, w in theirs.items()}, strict=False)
    assert not unexpected
    assert all(name.endswith(("num_batches_tracked", "time_embedding.weight")) for name in missing)
    rows = arrays["time_embedding_rows"]
    with torch.no_grad():
        method.denoiser.time_embedding.weight[rows] = arrays["time_embedding_values"]
    method.alphas = arrays["alphas_cumprod"]
    return method


def _terms(method: KnowledgeDiffusion, arrays: Arrays) -> DiffusionTerms:
    return method.terms(
        method.translate(arrays["feat_s"]), arrays["feat_t"], arrays["noise_student"], arrays["noise_ddim"],
        arrays["timesteps_ddim"],
    )  # fmt: skip


@pytest.mark.vectors("diffkd_ae")
def test_agrees_with_the_authors(vector: Vector) -> None:
    assert_agrees(
        vector, lambda a: torch.stack(_terms(_diffusion(vector, a), a)).sum(), expected="total", relative=TOLERANCE
    )


@pytest.mark.vectors("diffkd_ae")
def test_agrees_with_the_authors_in_every_term_and_weight(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _diffusion(vector, arrays)
    terms = _terms(method, arrays)
    assert terms.distance.item() == pytest.approx(vector.expected["kd_mse"], rel=TOLERANCE)
    assert terms.noise_error.item() == pytest.approx(vector.expected["ddim"], rel=TOLERANCE)
    assert terms.reconstruction.item() == pytest.approx(vector.expected["rec"], rel=TOLERANCE)
    torch.stack(terms).sum().backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters()}
    for name, expected in weights_under(arrays, "grad_w.").items():
        assert_gradient(gradients[_our_name(name)], expected, TOLERANCE)


@pytest.mark.vectors("diffkd_ae")
def test_the_denoised_map_and_the_latent_are_the_authors(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _diffusion(vector, arrays)
    translated = method.translate(arrays["feat_s"])
    torch.testing.assert_close(method.adapter(translated).flatten(), arrays["gamma"], rtol=1e-9, atol=0)
    torch.testing.assert_close(method.encode(arrays["feat_t"])[0], arrays["teacher_latent"], rtol=1e-9, atol=1e-12)
    refined = method.denoise(translated, arrays["noise_student"])
    torch.testing.assert_close(refined, arrays["refined"], rtol=TOLERANCE, atol=TOLERANCE)
    assert list(SAMPLED_STEPS) == arrays["sample_timesteps"].tolist()


@pytest.mark.vectors("diffkd_ae")
def test_our_schedule_is_theirs(vector: Vector) -> None:
    arrays = in_single_precision(vector.arrays())
    torch.testing.assert_close(noise_schedule(), arrays["alphas_cumprod"], rtol=1e-5, atol=0)


def _taught_by(term: str) -> set[str]:
    """Parts that get a gradient from one term alone."""
    torch.manual_seed(0)
    method = KnowledgeDiffusion(4, 6, 8, True, 4, mean_squared_distance)
    student = torch.randn(2, 4, 5, 5, requires_grad=True)
    noise = torch.randn(2, 8, 5, 5)
    terms = method.terms(method.translate(student), torch.randn(2, 6, 5, 5), noise, noise, torch.tensor([3, 900]))
    getattr(terms, term).backward()
    parts = {name.split(".")[0] for name, parameter in method.named_parameters() if _is_moved(parameter.grad)}
    return parts | ({"student"} if _is_moved(student.grad) else set())


def _is_moved(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.abs().max() > 0)


def test_each_term_teaches_its_own_parts() -> None:
    assert _taught_by("distance") == {"student", "translate", "adapter", "denoiser", "project"}
    assert _taught_by("noise_error") == {"denoiser"}
    assert _taught_by("reconstruction") == {"encoder", "decoder"}


def test_class_maps_of_both_heads_are_compared() -> None:
    torch.manual_seed(0)
    method, student, teacher = make(DiffKDLogits), random_output(4, 4, 6, 5), random_output(4, 4, 6, 5)
    method(student, teacher, random_labels(6, 5)).backward()
    assert student.auxiliary_logits is not None
    assert _is_moved(student.logits.grad)
    assert _is_moved(student.auxiliary_logits.grad)
