"""A student that starts as a trained network without its weakest channels."""

from dataclasses import replace
from pathlib import Path

from models.build import Design, build_segmenter
from models.pruning import keep_channels, strongest_channels, widths
from models.segmenter import Segmenter
from pipeline.errors import ArtifactError
from pipeline.params.training import NetworkParams
from pipeline.training.network import trained_network


def pruned_network(
    network: NetworkParams, keep: float, source: Path, class_names: tuple[str, ...]
) -> tuple[Segmenter, Design]:
    """Return the network of a checkpoint with the share `keep` (0..1) of its channels, and its design.

    Input scale and output stride are the student's. Raises ArtifactError if the checkpoint has other classes or another
    network; ModelError if it cannot be pruned.
    """
    trained, design = trained_network(source, class_names)
    for name in ("architecture", "backbone", "head_channels", "auxiliary_channels"):
        if getattr(design, name) != getattr(network, name):
            raise ArtifactError(
                f"{source} has {name} {getattr(design, name)!r}; the pruned student has {getattr(network, name)!r}; "
                f"set the run's network.{name} to that of the network to prune"
            )
    return cut_out(trained, design, network, keep)


def cut_out(trained: Segmenter, design: Design, network: NetworkParams, keep: float) -> tuple[Segmenter, Design]:
    """Narrow `trained`, which has this design, in place, and build the student from it.

    Raises ModelError if it cannot be pruned.
    """
    keep_channels(trained, strongest_channels(trained, keep))
    scale, stride = network.input_scale, network.output_stride
    design = replace(design, input_scale=scale, output_stride=stride, channels=widths(trained))
    student = build_segmenter(design)  # with its own stride and scale; all weights are overwritten
    student.load_state_dict(trained.state_dict())
    return student, design
