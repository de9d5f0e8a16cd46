"""A student that begins as a trained network without its weakest channels."""

from dataclasses import replace
from pathlib import Path

from models.build import Design, build_segmenter
from models.checkpoint import load_checkpoint
from models.pruning import keep_channels, strongest_channels, widths
from models.segmenter import Segmenter
from pipeline.errors import ArtifactError
from pipeline.params.training import NetworkParams


def pruned_network(
    network: NetworkParams, keep: float, source: Path, class_names: tuple[str, ...]
) -> tuple[Segmenter, Design]:
    """The network of a checkpoint with `keep` (0..1) of its channels; input scale and output stride are the student's.

    Raises:
        ArtifactError: other classes, or another network than that of the parameters.
        ModelError: not a readable checkpoint, or no backbone that can be pruned.
    """
    trained, design, _ = load_checkpoint(source)
    if design.class_names != class_names:
        raise ArtifactError(
            f"{source} was trained for {len(design.class_names)} classes {list(design.class_names)}, "
            f"the dataset has {len(class_names)}: {list(class_names)}; train it on this dataset: dvc repro"
        )
    for name in ("architecture", "backbone", "head_channels", "auxiliary_channels"):
        if getattr(design, name) != getattr(network, name):
            raise ArtifactError(
                f"{source} has {name} {getattr(design, name)!r}, the pruned student {getattr(network, name)!r}; "
                f"set the run's network.{name} to that of the network it is pruned from"
            )
    keep_channels(trained, strongest_channels(trained, keep))
    design = replace(
        design, input_scale=network.input_scale, output_stride=network.output_stride, channels=widths(trained)
    )
    student = build_segmenter(design)  # at its own stride and scale; all weights are overwritten
    student.load_state_dict(trained.state_dict())
    return student, design
