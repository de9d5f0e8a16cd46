"""Knowledge Diffusion for Distillation (DiffKD), arXiv 2305.15712.

The source is the authors' classification code; their segmentation code is not public. The choice of features to compare
and the form on class maps are ours, after a project that builds on DiffKD.
"""

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import Segmenter
from pipeline.distillation.dist import auxiliary_logits, correlation_distance
from pipeline.distillation.fitnet import mean_squared_distance
from pipeline.distillation.method import CellLabels, Maps, Method, Output, Scalar, TeacherMaps
from pipeline.params.sections import Count, Index, NonNegative, section

NOISE_STEPS = 1000
SAMPLED_STEPS = (400, 300, 200, 100, 0)  # the second half of a grid of ten
STRIDE = 100
Steps = Int64[Tensor, " n"]


class DiffusionTerms(NamedTuple):
    distance: Scalar  # between the denoised student and the teacher's latent
    noise_error: Scalar
    reconstruction: Scalar  # of the autoencoder; 0 without one


def _conv_norm(in_channels: int, out_channels: int, kernel_size: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return [conv, nn.BatchNorm2d(out_channels)]


class Bottleneck(nn.Module):
    """Residual: 1x1 down, 3x3, 1x1 up, each with BatchNorm; no activation after the sum."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        inner = max(1, channels // reduction)
        self.block = nn.Sequential(
            *_conv_norm(channels, inner), nn.ReLU(inplace=True), *_conv_norm(inner, inner, kernel_size=3),
            nn.ReLU(inplace=True), *_conv_norm(inner, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Denoiser(nn.Module):
    """Predicts the noise in a noisy latent of the teacher, given the noise step."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        self.time_embedding = nn.Embedding(1280, channels)
        self.layers = nn.Sequential(
            Bottleneck(channels, reduction), Bottleneck(channels, reduction), *_conv_norm(channels, channels)
        )

    def forward(self, latent: Maps, step: Steps) -> Maps:
        return self.layers(latent + self.time_embedding(step)[:, :, None, None])


class NoiseAdapter(nn.Module):
    """Predicts the share of the student's latent to keep, 0..1 for each image; noise replaces the rest."""

    def __init__(self, channels: int):
        super().__init__()
        self.features = Bottleneck(channels, reduction=8)
        self.classify = nn.Linear(channels, 2)

    def forward(self, latent: Maps) -> Float[Tensor, "n 1 1 1"]:
        pooled = self.features(latent).mean(dim=(2, 3))
        return self.classify(pooled).softmax(dim=1)[:, 0, None, None, None]


class KnowledgeDiffusion(nn.Module):
    """Treat the student's map as a noisy latent of the teacher's, denoise it, and compare.

    Noise that is added to the teacher's latents trains the denoiser. `distance` between the denoised map and the latent
    trains the student and, through the denoising steps, the denoiser too. The autoencoder learns only from its own
    reconstruction. With 0 `latent_channels` there is no autoencoder: the latent is the teacher's map itself.
    """

    alphas: Tensor

    def __init__(
        self, student_channels: int, teacher_channels: int, latent_channels: int, translated: bool, reduction: int,
        distance: Callable[[Tensor, Tensor], Tensor],
    ):  # fmt: skip
        super().__init__()
        channels = latent_channels or teacher_channels
        self.encoder = nn.Sequential(*_conv_norm(teacher_channels, channels)) if latent_channels else None
        self.decoder = nn.Conv2d(channels, teacher_channels, kernel_size=1) if latent_channels else nn.Identity()
        self.translate = nn.Conv2d(student_channels, channels, kernel_size=1) if translated else nn.Identity()
        self.denoiser = Denoiser(channels, reduction)
        self.adapter = NoiseAdapter(channels)
        self.project = nn.Sequential(*_conv_norm(channels, channels))
        self.distance = distance
        self.factors = denoising_steps()
        self.register_buffer("alphas", noise_schedule(), persistent=False)

    def forward(self, student: Maps, teacher: TeacherMaps) -> Scalar:
        translated = self.translate(student)
        noise, teacher_noise = _noise_like(translated), _noise_like(translated)
        step = torch.randint(NOISE_STEPS, (len(student),), device=student.device)
        distance, noise_error, reconstruction = self.terms(translated, teacher, noise, teacher_noise, step)
        return distance + noise_error + reconstruction

    def terms(
        self, translated: Maps, teacher: TeacherMaps, noise: Maps, teacher_noise: Maps, step: Steps
    ) -> DiffusionTerms:
        """Return the losses for given noise; the denoiser has to find `teacher_noise` in the latent at `step`."""
        latent, lost = self.encode(teacher)
        distance = self.distance(self.denoise(translated, noise), latent)
        alpha = self.alphas[step][:, None, None, None]
        noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * teacher_noise
        return DiffusionTerms(distance, mean_squared_distance(self.denoiser(noisy, step), teacher_noise), lost)

    def encode(self, teacher: TeacherMaps) -> tuple[Maps, Scalar]:
        """Return the teacher's latent, without a gradient, and the autoencoder's reconstruction error."""
        if self.encoder is None:
            return teacher, teacher.new_zeros(())
        latent = self.encoder(teacher)
        return latent.detach(), mean_squared_distance(self.decoder(latent), teacher)

    def denoise(self, translated: Maps, noise: Maps) -> Maps:
        """Denoise a map in five deterministic steps (DDIM), then project it."""
        kept = self.adapter(translated)
        latent = kept * translated + (1 - kept) * noise
        for step, (of_latent, of_noise) in zip(SAMPLED_STEPS, self.factors, strict=True):
            predicted = self.denoiser(latent, torch.full((len(latent),), step, device=latent.device))
            latent = (of_latent * latent).add(predicted, alpha=of_noise)
        return self.project(latent)


class DiffKD(Method):
    """DiffKD on the backbone's features."""

    @section
    class Params:
        latent_channels: Index = 1024  # latent's channels, as in the authors' classification runs; 0: no autoencoder
        reduction: Count = 4  # factor by which the denoiser's bottlenecks reduce channels; the authors' value

    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.diffusion = KnowledgeDiffusion(
            student.backbone_channels, teacher.backbone_channels, params.latent_channels, True, params.reduction,
            mean_squared_distance,
        )  # fmt: skip

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return self.diffusion(student.backbone_features, teacher.backbone_features)


class DiffKDLogits(Method):
    """DiffKD on the class maps of main and auxiliary head, compared by correlation (DIST), without an autoencoder."""

    @section
    class Params:
        reduction: Count = 1  # factor by which the denoiser's bottlenecks reduce channels;
        # value of the project that this form is taken from
        auxiliary_weight: NonNegative = 0.4  # weight of the same loss on the auxiliary heads

    params: Params
    needs_auxiliary_heads = True

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        k, distance = student.classes, partial(correlation_distance, inter_class=1.0, intra_class=1.0)
        self.main, self.auxiliary = (KnowledgeDiffusion(k, k, 0, False, params.reduction, distance) for _ in range(2))

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        auxiliary = self.auxiliary(*auxiliary_logits(student, teacher))
        return self.main(student.logits, teacher.logits) + self.params.auxiliary_weight * auxiliary


def _noise_like(maps: Maps) -> Maps:
    """Draw noise in float32 and in memory order (channels last); else a CPU draws one number after the other."""
    kind = torch.promote_types(maps.dtype, torch.float32)
    return torch.randn_like(maps.permute(0, 2, 3, 1), dtype=kind).permute(0, 3, 1, 2)


def denoising_steps() -> list[tuple[float, float]]:
    """Return DDIM's step for each of SAMPLED_STEPS as two factors: of the latent and of the predicted noise.

    clean = (latent - sqrt(1 - now) * noise) / sqrt(now); next latent = sqrt(later) * clean + sqrt(1 - later) * noise.
    """
    alphas = noise_schedule().tolist()
    pairs = [(alphas[step], alphas[step - STRIDE] if step >= STRIDE else 1.0) for step in SAMPLED_STEPS]
    return [(sqrt(later / now), sqrt(1 - later) - sqrt(later * (1 - now) / now)) for now, later in pairs]


def noise_schedule() -> Float[Tensor, " steps"]:
    """Return the share of the latent (not of the noise) in the variance after each step; beta grows linearly."""
    return (1 - torch.linspace(1e-4, 0.02, NOISE_STEPS)).cumprod(dim=0)
