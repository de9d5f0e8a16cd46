"""How a student learns from a teacher: one file for each method, one table of them."""

from collections.abc import Callable

from torch import nn

from models.segmenter import Segmenter
from pipeline.distillation.gdd import GenerativeDenoise
from pipeline.params import MethodsParams

METHODS: dict[str, Callable[[MethodsParams, Segmenter, Segmenter], nn.Module]] = {
    "gdd": lambda p, student, teacher: GenerativeDenoise(
        student.backbone_channels, teacher.backbone_channels, p.gdd.temperature, p.gdd.noise_std
    ),
}
"""From the name in `params.yaml: runs` to a module that compares (student output, teacher output)."""
