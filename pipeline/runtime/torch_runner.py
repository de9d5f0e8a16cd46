"""Run a checkpoint with PyTorch in float32, eagerly or compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.shipping import LabelsGraph
from pipeline.runtime import RunnerUnavailable, require_image


class TorchRunner:
    """The very graph that is exported, before it is exported; on the GPU where there is one. Takes any size."""

    name = "pytorch_eager"

    def __init__(self, checkpoint: Path, threads: int):
        torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.provider = self.device.type
        segmenter, _, _ = load_checkpoint(checkpoint)
        graph = LabelsGraph(segmenter.to(memory_format=torch.channels_last))  # type: ignore[reportCallIssue]
        self.graph = graph.to(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.graph

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> np.ndarray:
        require_image(image, None)
        return self.compute(torch.from_numpy(image).to(self.device)).cpu().numpy()

    def prepared(self, image: np.ndarray) -> Callable[[], object]:
        require_image(image, None)
        on_device = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)

        @torch.inference_mode()
        def call() -> Tensor:
            labels = self.compute(on_device)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return labels

        return call

    def compute(self, image: Tensor) -> Tensor:
        """uint8 (n, H, W, 3) to uint8 (n, H, W), on the device; a GPU may still be at work when this returns."""
        return self.graph(image)


class CompiledTorchRunner(TorchRunner):
    """The same graph through torch.compile, which works in the first call of each size."""

    name = "pytorch_compiled"

    def __init__(self, checkpoint: Path, threads: int):
        super().__init__(checkpoint, threads)
        self.compiled = torch.compile(self.graph, dynamic=False)

    def __exit__(self, *error: object) -> None:
        del self.compiled
        super().__exit__(*error)

    def compute(self, image: Tensor) -> Tensor:
        try:
            return self.compiled(image)
        except Exception as error:  # a compiler has no end of ways to fail: no C++ compiler, no Triton, ...
            inner = getattr(error, "inner_exception", error)  # the compiler's own, where PyTorch wraps it
            reason = str(inner).strip().partition("\n")[0]
            raise RunnerUnavailable(f"torch.compile failed: {type(inner).__name__}: {reason}") from error
