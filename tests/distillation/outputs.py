"""Outputs of networks that do not exist, for tests of methods."""

from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.method import Method, method_class, method_params

CLASSES = 3
FEW_CELLS: dict[str, dict[str, Any]] = {"afdcd": {"pool": 0, "patch": 2}}
"""What a method needs on the toys' maps, of 2 x 3 cells and more."""

M = TypeVar("M", bound=Method)


def random_output(backbone: int, head: int, height: int, width: int, images: int = 2) -> SegmentationOutput:
    """A record with the given channels; every map is a leaf that takes a gradient."""
    shapes = {"logits": CLASSES, "auxiliary_logits": CLASSES, "head_features": head, "backbone_features": backbone}
    return SegmentationOutput(
        **{name: torch.randn(images, c, height, width, requires_grad=True) for name, c in shapes.items()}
    )


def random_labels(height: int, width: int, images: int = 2) -> torch.Tensor:
    """Labels of all classes with some unlabelled pixels."""
    labels = torch.randint(CLASSES, (images, height, width))
    labels[torch.rand(labels.shape) < 0.2] = 255
    return labels


def channels(backbone: int = 4, head: int = 4, classifier: nn.Module | None = None) -> Any:
    """What a method asks of a network before it sees its outputs."""
    return SimpleNamespace(backbone_channels=backbone, head_channels=head, classes=CLASSES, classifier=classifier)


def build_method(name: str, values: dict[str, Any], student: Any, teacher: Any, iterations: int = 10) -> Method:
    """The method of the table with these parameters, the others as by default or as few cells need them."""
    return method_class(name)(method_params(name, {**FEW_CELLS.get(name, {}), **values}), student, teacher, iterations)


def make(method: type[M], student: Any = None, teacher: Any = None, iterations: int = 1, **values: Any) -> M:
    """The method with these parameters, the others as by default."""
    return method(method.Params(**values), student or channels(), teacher or channels(), iterations)
