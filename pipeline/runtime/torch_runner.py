"""Run a checkpoint with PyTorch in float32, eagerly or compiled."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import load_for_inference
from models.export_wrappers import LabelsGraph
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner


class TorchRunner(Runner):
    """The graph that is exported, run by PyTorch, on the GPU if there is one. It takes images of any size."""

    name = "pytorch_eager"

    def __init__(self, checkpoint: Path, threads: int):
        segmenter, _, self.device = load_for_inference(checkpoint, threads)
        self.provider = self.device.type
        self.graph = LabelsGraph(segmenter)

    def close(self) -> None:
        del self.graph

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        return self.prepare(images)().cpu().numpy()

    def prepare(self, images: np.ndarray) -> Callable[[], Tensor]:
        on_device = torch.from_numpy(images).to(self.device)

        @torch.inference_mode()
        def call() -> Tensor:
            labels = self.compute(on_device)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return labels

        return call

    def compute(self, images: Tensor) -> Tensor:
        """Map images uint8 (n, H, W, 3) to labels uint8 (n, H, W) on the device; a GPU may still compute on return."""
        return self.graph(images)


class CompiledTorchRunner(TorchRunner):
    """The same graph through torch.compile, which compiles in the first call of each size."""

    name = "pytorch_compiled"

    def __init__(self, checkpoint: Path, threads: int):
        super().__init__(checkpoint, threads)
        self.compiled = torch.compile(self.graph, dynamic=False)

    def close(self) -> None:
        del self.compiled
        super().close()

    def compute(self, images: Tensor) -> Tensor:
        try:
            return self.compiled(images)
        except Exception as error:  # compiling fails in many ways: no C++ compiler, no Triton, ...
            inner = getattr(error, "inner_exception", error)  # the compiler's own error, if PyTorch wraps it
            reason = str(inner).strip().partition("\n")[0]
            raise NotAvailable(f"torch.compile failed: {type(inner).__name__}: {reason}") from error
