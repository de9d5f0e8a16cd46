"""The training step as written from the papers: eager, float32, NCHW, without optimizations.

It is the baseline of the benchmarks, so do not optimize it. Both sides use the project's networks.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.data.classes import IGNORE_INDEX

Comparison = Callable[[SegmentationOutput, SegmentationOutput], Tensor]


class PlainGDD(nn.Module):
    """GDD (arXiv 2401.08332): align, add the noise to every channel, generate, KL of spatial softmaxes."""

    def __init__(self, student: Segmenter, teacher: Segmenter):
        super().__init__()
        narrow, wide = student.backbone_channels, teacher.backbone_channels
        self.align = nn.Conv2d(narrow, wide, kernel_size=1)
        self.generation = nn.Sequential(
            nn.Conv2d(wide, wide, kernel_size=3, padding=1), nn.ReLU(), nn.Conv2d(wide, wide, kernel_size=3, padding=1)
        )

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput) -> Tensor:
        aligned = self.align(student.backbone_features)
        n, c, h, w = aligned.shape
        noise = torch.randn(n, 1, h, w, device=aligned.device).repeat(1, c, 1, 1)
        return 145.0 * _channel_divergence(self.generation(aligned + noise), teacher.backbone_features)


class PlainCWD(nn.Module):
    """CWD (arXiv 2011.13256) on the logits."""

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput) -> Tensor:
        return 3.0 * _channel_divergence(student.logits, teacher.logits)


def _channel_divergence(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    n, c, h, w = student.shape
    q = torch.softmax(student.reshape(-1, h * w) / temperature, dim=1)
    p = torch.softmax(teacher.reshape(-1, h * w) / temperature, dim=1)
    return (p * (p.log() - q.log())).sum() * temperature**2 / (n * c)


class PlainDiffKD(nn.Module):
    """DiffKD (arXiv 2305.15712) on features: autoencoder, five denoising steps, noise prediction, reconstruction."""

    def __init__(self, student: Segmenter, teacher: Segmenter, latent: int = 1024):
        super().__init__()
        wide = teacher.backbone_channels
        self.encoder = nn.Sequential(nn.Conv2d(wide, latent, kernel_size=1), nn.BatchNorm2d(latent))
        self.decoder = nn.Conv2d(latent, wide, kernel_size=1)
        self.translate = nn.Conv2d(student.backbone_channels, latent, kernel_size=1)
        self.time = nn.Embedding(1280, latent)
        self.denoiser = nn.Sequential(
            PlainBottleneck(latent, 4), PlainBottleneck(latent, 4), nn.Conv2d(latent, latent, 1), nn.BatchNorm2d(latent)
        )
        self.adapter = PlainBottleneck(latent, 8)
        self.adapter_head = nn.Linear(latent, 2)
        self.project = nn.Sequential(nn.Conv2d(latent, latent, kernel_size=1), nn.BatchNorm2d(latent))
        self.register_buffer("alphas", (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(dim=0))

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput) -> Tensor:
        latent = self.encoder(teacher.backbone_features)
        reconstruction = F.mse_loss(self.decoder(latent), teacher.backbone_features)
        latent = latent.detach()
        ours = self.translate(student.backbone_features)
        kept = self.adapter_head(self.adapter(ours).mean(dim=(2, 3))).softmax(dim=1)[:, 0, None, None, None]
        x = kept * ours + (1 - kept) * torch.randn_like(ours)
        for step in (400, 300, 200, 100, 0):
            now = self.alphas[step]  # type: ignore[reportIndexIssue]
            later = self.alphas[step - 100] if step else torch.ones_like(now)  # type: ignore[reportIndexIssue]
            noise = self._denoise(x, torch.full((len(x),), step, device=x.device))
            x = later.sqrt() * (x - (1 - now).sqrt() * noise) / now.sqrt() + (1 - later).sqrt() * noise
        found = torch.randint(1000, (len(x),), device=x.device)
        noise, alpha = torch.randn_like(latent), self.alphas[found][:, None, None, None]  # type: ignore[reportIndexIssue]
        error = F.mse_loss(self._denoise(alpha.sqrt() * latent + (1 - alpha).sqrt() * noise, found), noise)
        return F.mse_loss(self.project(x), latent) + error + reconstruction

    def _denoise(self, x: Tensor, step: Tensor) -> Tensor:
        return self.denoiser(x + self.time(step)[:, :, None, None])


class PlainBottleneck(nn.Module):
    def __init__(self, channels: int, reduction: int):
        super().__init__()
        inner = channels // reduction
        self.block = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class PlainStep:
    """One SGD step on images in 0..1 and labels: distillation by `method`, or supervised training without one."""

    def __init__(self, student: Segmenter, teacher: Segmenter, method: nn.Module | None):
        self.student = student.train()
        self.teacher = teacher.eval().requires_grad_(False)
        self.method = method
        parameters = [*student.parameters(), *(method.parameters() if method else [])]
        self.optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)

    def __call__(self, image: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        output = self.student(image)
        assert output.auxiliary_logits is not None
        loss = _cross_entropy(output.logits, labels) + 0.4 * _cross_entropy(output.auxiliary_logits, labels)
        if self.method is not None:
            with torch.no_grad():
                teacher = self.teacher(image)
            loss = loss + self.method(output, teacher)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    scores = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(scores, labels, ignore_index=IGNORE_INDEX)
