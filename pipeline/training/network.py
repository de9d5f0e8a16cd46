"""Build untrained networks from parameters, and read trained ones."""

from pathlib import Path

import torch

from models.backbone import backbone_facts
from models.build import Design, build_segmenter
from models.checkpoint import load_checkpoint
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.errors import ArtifactError
from pipeline.params.training import NetworkParams

PRETRAINED = "backbone.safetensors"  # written by stage pretrain


def new_network(
    network: NetworkParams, classes: ClassTable, seed: int, pretrained: Path = Path()
) -> tuple[Segmenter, Design, str]:
    """Build a network; return it, its design, and in words where its backbone's weights come from.

    The random weights depend only on the seed. `pretrained` is the folder of stage pretrain, for networks that start
    with its backbone. Raises ArtifactError if the file of weights is missing or its hash differs from the parameters'.
    """
    design, weights, path = design_of(network, tuple(classes.names)), network.weights, None
    beginning = {"none": "none (trained from scratch)", "timm": "timm, ImageNet"}.get(weights.source, "")
    if weights.source == "file":
        path, beginning = Path(weights.file), f"file {Path(weights.file).name} (sha256 {weights.sha256[:12]})"
        check_weights(path, weights.sha256)
    elif weights.source == "pretraining":
        path = pretrained_backbone(pretrained)
        beginning = backbone_facts(path)["weights"]
    torch.manual_seed(seed)
    segmenter = build_segmenter(design, pretrained=weights.source == "timm")
    if path is not None:
        from models.timm_backbone import load_backbone_weights

        load_backbone_weights(segmenter.backbone, path)
    return segmenter, design, beginning


def design_of(network: NetworkParams, class_names: tuple[str, ...]) -> Design:
    own = {name: value for name, value in vars(network).items() if name != "weights"}
    return Design(**own, class_names=class_names)


def trained_network(path: Path, class_names: tuple[str, ...]) -> tuple[Segmenter, Design]:
    """Load a checkpoint; raise ArtifactError if its classes are not `class_names`."""
    segmenter, design, _ = load_checkpoint(path)
    if design.class_names != class_names:
        raise ArtifactError(
            f"{path} was trained for {len(design.class_names)} classes {list(design.class_names)}, "
            f"but the dataset has {len(class_names)}: {list(class_names)}; train it on this dataset: dvc repro"
        )
    return segmenter, design


def check_weights(path: Path, expected_sha256: str) -> None:
    """Check a file's hash before anything reads it; raise ArtifactError if the file is missing or has another hash."""
    if not path.is_file():
        raise ArtifactError(f"no weights at {path.resolve()}; put them there, or set weights.source to timm or none")
    found = sha256(path)
    if found != expected_sha256:
        raise ArtifactError(
            f"{path} has SHA-256 {found}, but the parameters expect {expected_sha256}. It is another file or damaged: "
            f"replace it, or correct sha256 in params.yaml"
        )


def pretrained_backbone(folder: Path) -> Path:
    """Return the file that stage pretrain left in its folder; raise ArtifactError if there is none."""
    if not (folder / PRETRAINED).is_file():
        raise ArtifactError(f"no pre-trained backbone in {folder}; run stage pretrain: dvc repro")
    return folder / PRETRAINED
