"""From parameters to a fresh network, and from a trained one to its checkpoint."""

from pathlib import Path

import torch

from models.backbone import backbone_facts, load_backbone_weights
from models.build import Design, build_segmenter
from models.checkpoint import save_checkpoint
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256
from pipeline.errors import ArtifactError
from pipeline.params.training import NetworkParams, WeightsParams

PRETRAINED = "backbone.safetensors"  # of stage pretrain


def new_network(
    network: NetworkParams, classes: ClassTable, seed: int, pretrained: Path | None = None
) -> tuple[Segmenter, Design]:
    """Build a network; its random part is a function of the seed.

    Args:
        pretrained: folder of stage pretrain, for networks that begin with its backbone.

    Raises:
        ArtifactError: the weights file is missing or its hash is not the one in the parameters.
    """
    design = Design(
        architecture=network.architecture,
        backbone=network.backbone,
        input_scale=network.input_scale,
        output_stride=network.output_stride,
        head_channels=network.head_channels,
        auxiliary_channels=network.auxiliary_channels,
        head=dict(network.head),
        class_names=tuple(classes.names),
    )
    weights = None
    if network.weights.source == "file":
        weights = Path(network.weights.file)
        check_weights(weights, network.weights.sha256)
    elif network.weights.source == "pretraining":
        weights = pretrained_backbone(pretrained)
    torch.manual_seed(seed)
    segmenter = build_segmenter(design, pretrained=network.weights.source == "timm")
    if weights is not None:
        load_backbone_weights(segmenter.backbone, weights)
    return segmenter, design


def save_network(segmenter: Segmenter, design: Design, facts: dict[str, str], path: Path) -> None:
    """Write a finished checkpoint atomically."""
    with replacing(path) as temporary:
        save_checkpoint(segmenter.cpu(), design, facts, temporary)


def describe_weights(weights: WeightsParams, pretrained: Path | None = None) -> str:
    """Say how a backbone was initialized, for every result that depends on it; `pretrained` as for `new_network`."""
    if weights.source == "pretraining":
        return backbone_facts(pretrained_backbone(pretrained))["weights"]
    if weights.source == "file":
        return f"file {Path(weights.file).name} (sha256 {weights.sha256[:12]})"
    return {"none": "none (trained from scratch)", "timm": "timm, ImageNet"}[weights.source]


def check_weights(path: Path, expected_sha256: str) -> None:
    """The hash is compared before any reader sees a byte of the file.

    Raises:
        ArtifactError: no such file, or another one.
    """
    if not path.is_file():
        raise ArtifactError(f"no weights at {path.resolve()}; put them there, or set weights.source to timm or none")
    found = sha256(path)
    if found != expected_sha256:
        raise ArtifactError(
            f"{path} has SHA-256 {found}, the parameters expect {expected_sha256}; it is another file or a damaged one"
        )


def pretrained_backbone(folder: Path | None) -> Path:
    """Return the file that stage pretrain left in its folder.

    Raises:
        ArtifactError: it left none, or there is no folder.
    """
    if folder is None or not (folder / PRETRAINED).is_file():
        raise ArtifactError(f"no pre-trained backbone in {folder}; run stage pretrain: dvc repro")
    return folder / PRETRAINED
