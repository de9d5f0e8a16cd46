"""Looking inside graphs: the layer that is named is the one that was broken."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.checkpoint import load_checkpoint
from models.export_wrappers import LabelsGraph
from pipeline.deploy.layer_outputs import (
    Probe,
    first_divergence,
    largest_activation,
    relative_error,
)
from pipeline.deploy.onnx_export import export_graph
from pipeline.deploy.torch_activations import activations_in_pytorch
from segdistill_runtime.runner import InputShape
from tests.toy import toy_pair
from tests.toy_run import HEIGHT, WIDTH, train_toy

IMAGE = toy_pair(3)[0][None]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probing")
    segmenter, design, _ = load_checkpoint(train_toy("deeplabv3", folder, 2))
    export_graph(LabelsGraph(segmenter), design, InputShape(1, HEIGHT, WIDTH), 20, folder / "model.onnx")
    return folder / "model.onnx"


def broken(graph: Path, layer: str, out: Path, factor: float) -> Path:
    """The same graph with the weights of one layer multiplied."""
    model = onnx.load(graph)
    weights = next(node.input[1] for node in model.graph.node if node.name == layer)
    tensor = next(entry for entry in model.graph.initializer if entry.name == weights)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), weights))
    onnx.save(model, out)
    return out


def test_pytorch_and_onnx_agree_in_every_layer(graph: Path) -> None:
    segmenter, _, _ = load_checkpoint(graph.with_name("checkpoint.safetensors"))
    source = activations_in_pytorch(LabelsGraph(segmenter), IMAGE, 20)
    probe = Probe(graph)
    shared = set(source) & set(probe.layers)
    assert len([name for name in shared if probe.layers[name].endswith("/Conv")]) >= 10
    assert (
        first_divergence(partial(activations_in_pytorch, LabelsGraph(segmenter)), graph, IMAGE, 1e-3).relative_error
        < 1e-4
    )


@pytest.mark.parametrize("place", [0, 4, -1])
def test_the_broken_layer_is_named(graph: Path, tmp_path: Path, place: int) -> None:
    layers = [name for name in Probe(graph).layers.values() if name.endswith("/Conv")]
    candidate = broken(graph, layers[place], tmp_path / "broken.onnx", 1.5)
    found = first_divergence(graph, candidate, IMAGE, 1e-2)
    assert found.layer == layers[place]
    assert found.layer in str(found)


def test_where_nothing_is_over_the_limit_the_largest_error_is_named(graph: Path, tmp_path: Path) -> None:
    layers = [name for name in Probe(graph).layers.values() if name.endswith("/Conv")]
    candidate = broken(graph, layers[-1], tmp_path / "broken.onnx", 1.001)
    found = first_divergence(graph, candidate, IMAGE, 1e-2)
    assert 0 < found.relative_error < 1e-2


def test_the_largest_activation_has_a_layer(graph: Path, tmp_path: Path) -> None:
    layers = [name for name in Probe(graph).layers.values() if name.endswith("/Conv")]
    candidate = broken(graph, layers[3], tmp_path / "broken.onnx", 1e6)
    largest = largest_activation(candidate, [IMAGE])
    assert largest.magnitude > 1e4
    assert largest.finite
    beyond = largest_activation(broken(graph, layers[3], tmp_path / "beyond.onnx", 1e38), [IMAGE])
    assert not beyond.finite


def test_relative_error() -> None:
    assert relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.0])) == 0
    assert relative_error(np.array([6.0, 8.0]), np.array([3.0, 4.0])) == pytest.approx(1)
    assert relative_error(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == np.inf
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
