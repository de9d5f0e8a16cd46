"""One untrained network as every kind of file that runs on this machine."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.export_wrappers import LabelsGraph
from pipeline.deploy.onnx_export import export_graph
from segdistill_runtime.runner import InputShape
from tests.toy import toy_segmenter


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoint.safetensors, model.onnx for 1x48x64 and pairs.onnx for 2x48x64."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    segmenter, design = toy_segmenter()
    save_checkpoint(segmenter, design, {}, folder / "checkpoint.safetensors")
    segmenter, design, _ = load_checkpoint(folder / "checkpoint.safetensors")
    export_graph(LabelsGraph(segmenter), design, InputShape(1, 48, 64), 20, folder / "model.onnx")
    export_graph(LabelsGraph(segmenter), design, InputShape(2, 48, 64), 20, folder / "pairs.onnx")
    return folder
