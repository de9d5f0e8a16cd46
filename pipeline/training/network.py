"""From parameters to a fresh network, and from a trained one to its checkpoint."""

from pathlib import Path

import torch

from models.backbone import load_backbone_weights
from models.build import Design, build_segmenter
from models.checkpoint import save_checkpoint
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256
from pipeline.errors import SegdistillError
from pipeline.params.runs import NetworkParams, WeightsParams


class WeightsError(SegdistillError):
    """Initial weights that are missing or are not what the parameters say."""


def new_network(network: NetworkParams, classes: ClassTable, seed: int) -> tuple[Segmenter, Design]:
    """Build a network; its random part is a function of the seed.

    Raises:
        WeightsError: the weights file is missing or its hash is not the one in the parameters.
    """
    design = Design(
        architecture=network.architecture,
        backbone=network.backbone,
        input_scale=network.input_scale,
        output_stride=network.output_stride,
        head_channels=network.head_channels,
        auxiliary_channels=network.auxiliary_channels,
        channels={},
        class_names=tuple(classes.names),
    )
    if network.weights.source == "file":
        _check_weights(network.weights)
    torch.manual_seed(seed)
    segmenter = build_segmenter(design, pretrained=network.weights.source == "timm")
    if network.weights.source == "file":
        load_backbone_weights(segmenter.backbone, Path(network.weights.file))
    return segmenter, design


def save_network(segmenter: Segmenter, design: Design, facts: dict[str, str], path: Path) -> None:
    """Write a finished checkpoint atomically."""
    with replacing(path) as temporary:
        save_checkpoint(segmenter.cpu(), design, facts, temporary)


def describe_weights(weights: WeightsParams) -> str:
    """How a backbone was initialized, for every result that depends on it."""
    if weights.source == "file":
        return f"file {Path(weights.file).name} (sha256 {weights.sha256[:12]})"
    return {"none": "none (trained from scratch)", "timm": "timm, ImageNet"}[weights.source]


def _check_weights(weights: WeightsParams) -> None:
    """The hash is compared before any reader sees a byte of the file."""
    path = Path(weights.file)
    if not path.is_file():
        raise WeightsError(f"no weights at {path.resolve()}; put the file there, or set weights.source to timm or none")
    found = sha256(path)
    if found != weights.sha256:
        raise WeightsError(
            f"{path} has SHA-256 {found}, the parameters expect {weights.sha256}; it is another file or a damaged one"
        )
