"""Students that begin as a pruned network: they learn on, and say what they came from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.build import build_segmenter
from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import ModelError
from models.pruning import MULTIPLE, keep_channels, strongest_channels, widths
from pipeline.code_digest import ROOT
from pipeline.distillation.method import run_methods
from pipeline.distillation.pruned import pruned_network
from pipeline.distillation.student import train_student
from pipeline.errors import ArtifactError
from pipeline.params.runs import PruneParams
from pipeline.params.training import NetworkParams
from pipeline.params.tree import load_params
from tests.raising import raises
from tests.toy import TOY_CLASSES, TOY_DESIGN, toy_training, write_toy_samples

PARAMS = load_params(ROOT / "params.yaml")
NAMES = TOY_DESIGN.class_names


def _network(**changes: object) -> NetworkParams:
    toy = replace(PARAMS.runs["pspnet_r18"].network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    return replace(toy, **changes)  # type: ignore[reportArgumentType]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(build_segmenter(TOY_DESIGN), TOY_DESIGN, {}, tmp_path / "source.safetensors")
    return tmp_path / "source.safetensors"


def test_it_holds_the_weights_of_its_source_at_its_own_stride_and_scale(source: Path) -> None:
    student, design = pruned_network(_network(output_stride=8, input_scale=0.5), 0.5, source, NAMES)
    expected, _, _ = load_checkpoint(source)
    keep_channels(expected, strongest_channels(expected, 0.5))
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in student.state_dict().items())
    assert (design.output_stride, design.input_scale, design.channels) == (8, 0.5, widths(student))
    with torch.no_grad():
        assert student.eval()(torch.rand(1, 3, 64, 96)).logits.shape[-2:] == (4, 6)


def test_a_pruned_network_can_be_pruned_again(source: Path, tmp_path: Path) -> None:
    once, design = pruned_network(_network(), 0.5, source, NAMES)
    save_checkpoint(once, design, {}, tmp_path / "once.safetensors")
    twice, _ = pruned_network(_network(), 0.5, tmp_path / "once.safetensors", NAMES)
    assert widths(twice)["layer4"] == widths(once)["layer4"] // 2 == 128


@pytest.mark.parametrize(
    ("changes", "names", "values"),
    [
        ({"backbone": "resnet18"}, NAMES, ("backbone 'resnet10t'", "'resnet18'", "network.backbone")),
        ({"head_channels": 32}, NAMES, ("head_channels 16", "32", "network.head_channels")),
        ({}, ("ground", "box"), ("3 classes", "'pond'", "['ground', 'box']")),
    ],
)
def test_another_network_is_refused(
    source: Path, changes: dict[str, object], names: tuple[str, ...], values: tuple[str, ...]
) -> None:
    with raises(ArtifactError, source, *values):
        pruned_network(_network(**changes), 0.5, source, names)


@pytest.mark.parametrize("distill", [{}, {"gdd": 20.0, "kd": 1.0}])
def test_it_learns_on_alone_or_from_the_teacher(source: Path, tmp_path: Path, distill: dict[str, float]) -> None:
    """From a teacher of another scale too, whose maps are larger."""
    samples = write_toy_samples(tmp_path)
    run = replace(
        PARAMS.runs["pspnet_r18"],
        network=_network(input_scale=0.5),
        prune=PruneParams(source="students/big", keep=0.5),
        distill=distill,
        iterations=3,
    )

    def train(name: str) -> Path:
        train_student(
            name=name,
            run=run,
            methods=run_methods(distill, {}),
            code="",
            training=toy_training(log_every=1),
            classes=tmp_path / "classes.json",
            samples=samples,
            statistics=tmp_path / "statistics.json",
            teacher=source,
            source=source,
            pretrained=tmp_path / "none",
            scratch=tmp_path / "scratch",
            out=tmp_path / name,
        )
        return tmp_path / name / "checkpoint.safetensors"

    student, design, facts = load_checkpoint(train("small"))
    assert facts["backbone_weights"].startswith("50 % ")
    assert facts["backbone_weights"].endswith(" students/big")
    assert design.class_names == tuple(TOY_CLASSES.names)
    assert all(width % MULTIPLE == 0 for width in widths(student).values())
    first, _ = pruned_network(run.network, 0.5, source, NAMES)
    moved = [
        not torch.equal(ours, theirs) for ours, theirs in zip(student.parameters(), first.parameters(), strict=True)
    ]
    assert all(moved)
    assert train("again").read_bytes() == train("small").read_bytes()


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with raises(ModelError, tmp_path / "nothing.safetensors", "dvc repro"):
        pruned_network(_network(), 0.5, tmp_path / "nothing.safetensors", NAMES)
