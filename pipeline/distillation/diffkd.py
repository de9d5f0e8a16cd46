"""Knowledge Diffusion for Distillation (DiffKD), arXiv 2305.15712.

The authors' classification code is the source; their segmentation code is not public, so the features that are compared
(the backbone's) and the logit form on class maps are our choice, after a project that builds on it.
"""

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.dist import auxiliary_logits, correlation_distance
from pipeline.distillation.fitnet import mean_squared_distance
from pipeline.distillation.method import Labels, Maps, Method, Scalar, TeacherMaps
from pipeline.params.sections import Count, Index, NonNegative, section

NOISE_STEPS = 1000
SAMPLED_STEPS = (400, 300, 200, 100, 0)  # the second half of a grid of ten
STRIDE = 100


class DiffusionTerms(NamedTuple):
    """What is added up, each with weight 1."""

    distance: Scalar  # between the denoised student and the teacher's latent
    noise_error: Scalar
    reconstruction: Scalar  # of the autoencoder; 0 without one


class Bottleneck(nn.Module):
    """Residual: 1x1 down, 3x3, 1x1 up, each with BatchNorm; no activation after the sum."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        inner = max(1, channels // reduction)
        self.block = nn.Sequential(
            nn.Conv2d(channels, inner, kernel_size=1), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, kernel_size=3, padding=1), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, kernel_size=1), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Denoiser(nn.Module):
    """Predicts the noise in a latent of the teacher, told how noisy it is."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        self.time_embedding = nn.Embedding(1280, channels)
        self.layers = nn.Sequential(
            Bottleneck(channels, reduction), Bottleneck(channels, reduction),
            nn.Conv2d(channels, channels, kernel_size=1), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, latent: Maps, step: Int64[Tensor, " n"]) -> Maps:
        return self.layers(latent + self.time_embedding(step)[:, :, None, None])


class NoiseAdapter(nn.Module):
    """How much of the student's latent is kept, in 0..1 for each image; the rest is filled up with noise."""

    def __init__(self, channels: int):
        super().__init__()
        self.features = Bottleneck(channels, reduction=8)
        self.classify = nn.Linear(channels, 2)

    def forward(self, latent: Maps) -> Float[Tensor, "n 1 1 1"]:
        pooled = self.features(latent).mean(dim=(2, 3))
        return self.classify(pooled).softmax(dim=1)[:, 0, None, None, None]


class Autoencoder(nn.Module):
    """Fewer channels for the teacher's features, learned with a loss of its own."""

    def __init__(self, channels: int, latent_channels: int):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, latent_channels, kernel_size=1), nn.BatchNorm2d(latent_channels)
        )
        self.decoder = nn.Conv2d(latent_channels, channels, kernel_size=1)


class KnowledgeDiffusion(nn.Module):
    """Take the student's map for a noisy latent of the teacher's, denoise it, and compare.

    All of it is trained with the student and thrown away after training. The noise that is put into the teacher's
    latents teaches the denoiser; the comparison teaches the student, and through the denoising steps the denoiser as
    well; the autoencoder learns from its own reconstruction alone.

    Args:
        latent_channels: of the autoencoder; 0 compares the teacher's map itself.
        translated: whether a 1x1 convolution brings the student's map to the latent's channels.
        reduction: of the denoiser's bottlenecks; the authors use 4 on features.
        distance: between the denoised map and the teacher's latent.
    """

    alphas: Tensor

    def __init__(
        self, student_channels: int, teacher_channels: int, latent_channels: int, translated: bool, reduction: int,
        distance: Callable[[Tensor, Tensor], Tensor],
    ):  # fmt: skip
        super().__init__()
        channels = latent_channels or teacher_channels
        self.autoencoder = Autoencoder(teacher_channels, channels) if latent_channels else None
        self.translate = nn.Conv2d(student_channels, channels, kernel_size=1) if translated else nn.Identity()
        self.denoiser = Denoiser(channels, reduction)
        self.adapter = NoiseAdapter(channels)
        self.project = nn.Sequential(nn.Conv2d(channels, channels, kernel_size=1), nn.BatchNorm2d(channels))
        self.distance = distance
        self.register_buffer("alphas", noise_schedule(), persistent=False)

    def forward(self, student: Maps, teacher: TeacherMaps) -> Scalar:
        translated = self.translate(student)
        noise, teacher_noise = _noise_like(translated), _noise_like(translated)
        step = torch.randint(NOISE_STEPS, (len(student),), device=student.device)
        terms = self.terms(translated, teacher, noise, teacher_noise, step)
        return terms.distance + terms.noise_error + terms.reconstruction

    def terms(
        self, translated: Maps, teacher: TeacherMaps, noise: Maps, teacher_noise: Maps, step: Int64[Tensor, " n"]
    ) -> DiffusionTerms:
        """The losses for given noise.

        Args:
            noise: fills up what the adapter does not keep of the student's map.
            teacher_noise, step: put into the teacher's latent for the denoiser to find.
        """
        latent, lost = self.encode(teacher)
        return DiffusionTerms(
            self.distance(self.denoise(translated, noise), latent), self.noise_error(latent, teacher_noise, step), lost
        )

    def encode(self, teacher: TeacherMaps) -> tuple[Maps, Scalar]:
        """The teacher's latent, without a gradient, and what the autoencoder loses."""
        if self.autoencoder is None:
            return teacher, teacher.new_zeros(())
        latent = self.autoencoder.encoder(teacher)
        return latent.detach(), mean_squared_distance(self.autoencoder.decoder(latent), teacher)

    def denoise(self, translated: Maps, noise: Maps) -> Maps:
        """Five deterministic steps (DDIM), and a projection."""
        kept = self.adapter(translated)
        latent = kept * translated + (1 - kept) * noise
        for step, (of_latent, of_noise) in zip(SAMPLED_STEPS, denoising_steps(), strict=True):
            predicted = self.denoiser(latent, torch.full((len(latent),), step, device=latent.device))
            latent = (of_latent * latent).add(predicted, alpha=of_noise)
        return self.project(latent)

    def noise_error(self, latent: Maps, noise: Maps, step: Int64[Tensor, " n"]) -> Scalar:
        """How well the denoiser finds noise that was put into the teacher's latent."""
        alpha = self.alphas[step][:, None, None, None]
        noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * noise
        return mean_squared_distance(self.denoiser(noisy, step), noise)


class DiffKD(Method):
    """On the backbone's features."""

    @section
    class Params:
        latent_channels: Index = 1024  # of the autoencoder, as in the authors' classification runs; 0: no autoencoder
        reduction: Count = 4  # of the denoiser's bottlenecks; the authors' value

    params: Params

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.diffusion = KnowledgeDiffusion(
            student.backbone_channels, teacher.backbone_channels, params.latent_channels, True, params.reduction,
            mean_squared_distance,
        )  # fmt: skip

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return self.diffusion(student.backbone_features, teacher.backbone_features)


class DiffKDLogits(Method):
    """On the class maps of the main and the auxiliary head, compared by correlation (DIST), without an autoencoder."""

    @section
    class Params:
        reduction: Count = 1  # of the denoiser's bottlenecks; of the project that this form is taken from
        auxiliary_weight: NonNegative = 0.4  # of the same on the auxiliary heads

    params: Params
    needs_auxiliary_heads = True

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        k = student.classes
        self.main = KnowledgeDiffusion(k, k, 0, False, params.reduction, _correlation_distance)
        self.auxiliary = KnowledgeDiffusion(k, k, 0, False, params.reduction, _correlation_distance)

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        auxiliary = self.auxiliary(*auxiliary_logits(student, teacher))
        return self.main(student.logits, teacher.logits) + self.params.auxiliary_weight * auxiliary


def _noise_like(maps: Maps) -> Maps:
    """Drawn in float32 and in the order in which channels-last maps lie in memory.

    In 16 bits, or across that order, PyTorch draws one number after the other on a CPU.
    """
    kind = torch.promote_types(maps.dtype, torch.float32)
    return torch.randn_like(maps.permute(0, 2, 3, 1), dtype=kind).permute(0, 3, 1, 2)


def _correlation_distance(student: Tensor, teacher: Tensor) -> Tensor:
    return correlation_distance(student, teacher, 1.0, 1.0)


@cache
def denoising_steps() -> list[tuple[float, float]]:
    """DDIM's step for each of SAMPLED_STEPS, as factors of the latent and of the noise that is predicted in it.

    The clean latent is (latent - sqrt(1 - now) * noise) / sqrt(now); the next one is sqrt(later) * clean +
    sqrt(1 - later) * noise. Multiplied out, each step reads and writes the maps once instead of four times.
    """
    alphas = noise_schedule().tolist()
    factors = []
    for step in SAMPLED_STEPS:
        now, later = alphas[step], alphas[step - STRIDE] if step >= STRIDE else 1.0
        factors.append((sqrt(later / now), sqrt(1 - later) - sqrt(later * (1 - now) / now)))
    return factors


def noise_schedule() -> Float[Tensor, " steps"]:
    """Share of the latent (not of the noise) in the variance after each step; beta grows linearly."""
    return (1 - torch.linspace(1e-4, 0.02, NOISE_STEPS)).cumprod(dim=0)
