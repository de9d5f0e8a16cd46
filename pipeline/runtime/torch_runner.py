"""Run a checkpoint with PyTorch, eagerly, in float32."""

from pathlib import Path
from typing import Self

import numpy as np
import torch

from models.checkpoint import load_checkpoint
from models.shipping import LabelsGraph


class TorchRunner:
    """The very graph that is exported, before it is exported; on the GPU where there is one."""

    name = "pytorch_eager"

    def __init__(self, checkpoint: Path, threads: int):
        torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        segmenter, _, _ = load_checkpoint(checkpoint)
        graph = LabelsGraph(segmenter.to(memory_format=torch.channels_last))  # type: ignore[reportCallIssue]
        self.graph = graph.to(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.graph

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> np.ndarray:
        return self.graph(torch.from_numpy(image).to(self.device)).cpu().numpy()
