"""The upsampling inside the graph, in every runtime: a ramp of scores must cross exactly where its definition does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.export_wrappers import LabelsGraph
from models.segmenter import SegmentationOutput
from pipeline.deploy.onnx_export import export_graph
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import InputShape
from tests.toy import TOY_DESIGN, toy_segmenter

HEIGHT, WIDTH, STRIDE = 48, 96, 16


class Ramp(nn.Module):
    """Scores that depend on the cell only: class 0 falls along x, class 1 rises along y, class 2 is level."""

    def forward(self, image: Tensor) -> SegmentationOutput:
        cells = nn.functional.avg_pool2d(image.mean(dim=1, keepdim=True), STRIDE) * 0
        y = torch.arange(HEIGHT // STRIDE, dtype=cells.dtype)[:, None]
        x = torch.arange(WIDTH // STRIDE, dtype=cells.dtype)[None, :]
        logits = torch.cat([cells + 2.6 - x, cells + 1.7 * y - 0.9, cells + 0.35], dim=1)
        return SegmentationOutput(logits, None, logits, logits)


def expected_labels() -> np.ndarray:
    """Half-pixel centers, edges repeated; in float64, from the definition."""
    y = np.clip((np.arange(HEIGHT) + 0.5) / STRIDE - 0.5, 0, HEIGHT // STRIDE - 1)[:, None]
    x = np.clip((np.arange(WIDTH) + 0.5) / STRIDE - 0.5, 0, WIDTH // STRIDE - 1)[None, :]
    scores = np.broadcast_arrays(2.6 - x + 0 * y, 1.7 * y - 0.9 + 0 * x, 0.35 + 0 * x + 0 * y)
    return np.argmax(scores, axis=0).astype(np.uint8)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    segmenter, _ = toy_segmenter()
    labels = LabelsGraph(segmenter)
    labels.segmenter.from_normalized = Ramp().forward  # type: ignore[method-assign]
    path = tmp_path_factory.mktemp("ramp") / "model.onnx"
    export_graph(labels, TOY_DESIGN, InputShape(1, HEIGHT, WIDTH), 20, path)
    image = torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    assert (labels(image)[0].numpy() == expected_labels()).all()  # PyTorch itself
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_classes_change_where_the_definition_says(graph: Path, runtime: str) -> None:
    try:
        runner = open_artifact(graph, 1, runtime)
    except NotAvailable as error:
        pytest.skip(str(error))
    with runner:
        found = runner.run(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8))[0]
    assert len(np.unique(found)) == 3
    assert (found == expected_labels()).all()
