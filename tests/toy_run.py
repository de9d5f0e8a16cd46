"""One student of the toy, as the stages before deployment leave it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from models.checkpoint import save_checkpoint
from models.segmenter import Segmenter
from pipeline.data.samples import read_samples
from pipeline.measure.evaluate import predict
from pipeline.params.deployment import BudgetParams, ExportParams, ParityParams, ShapeParams
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.images import Resizing
from tests.toy import toy_pair, toy_segmenter, write_toy_samples

HEIGHT, WIDTH = 48, 64
RESIZING = Resizing(HEIGHT, WIDTH, "stretch")
RARE = torch.tensor([0.2, 1.0, 1.0])  # boxes and ponds are small
NO_BUDGET = BudgetParams(
    min_pixel_agreement=0.0, min_boundary_agreement=0.0, max_miou_lost_points=100.0, max_class_lost_points=100.0
)
FULL_BUDGET = BudgetParams(
    min_pixel_agreement=0.9999, min_boundary_agreement=0.999, max_miou_lost_points=0.01, max_class_lost_points=0.05
)
HALF_BUDGET = BudgetParams(
    min_pixel_agreement=0.97, min_boundary_agreement=0.9, max_miou_lost_points=1.0, max_class_lost_points=2.0
)
PARITY = ParityParams(
    boundary_pixels=2, onnx_fp32=FULL_BUDGET, engine_fp32=FULL_BUDGET, fp16=HALF_BUDGET, int8=HALF_BUDGET
)
EXPORT = ExportParams(
    height=HEIGHT, width=WIDTH, opset=20, logit_images=2, max_logit_difference=1e-3,
    other_shapes=[ShapeParams(batch=2, height=32, width=80)],
)  # fmt: skip


def train_toy(architecture: str, folder: Path, iterations: int) -> Path:
    """Write folder/checkpoint.safetensors of a network that has learned the toy's colors; returns it."""
    torch.manual_seed(0)
    segmenter, design = toy_segmenter(architecture)
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=0.01)
    pairs = [toy_pair(seed) for seed in range(100, 108)]
    images = torch.stack([torch.from_numpy(image) for image, _ in pairs]).permute(0, 3, 1, 2) / 255
    labels = torch.stack([torch.from_numpy(labels) for _, labels in pairs]).long()
    segmenter.train()
    for _ in range(iterations):
        logits = torch.nn.functional.interpolate(segmenter(images).logits, size=(HEIGHT, WIDTH), mode="bilinear")
        loss = torch.nn.functional.cross_entropy(logits, labels, RARE, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _settle_statistics(segmenter, images)
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        segmenter.eval(), design, {"backbone_weights": "none", "precision": "fp32"}, folder / "checkpoint.safetensors"
    )
    return folder / "checkpoint.safetensors"


def _settle_statistics(segmenter: Segmenter, images: torch.Tensor) -> None:
    """After few iterations the running statistics of BatchNorms lag behind the weights."""
    norms = [part for part in segmenter.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of what comes now
    with torch.no_grad():
        segmenter(images)


def write_toy_run(
    architecture: str, folder: Path, iterations: int = 15, resizing: Resizing = RESIZING,
    sizes: Sequence[tuple[int, int]] = (RESIZING.size,),
) -> Path:  # fmt: skip
    """Checkpoint, samples, classes.json and predictions/ of the test split in one folder; returns it."""
    checkpoint = train_toy(architecture, folder, iterations)
    samples = read_samples(write_toy_samples(folder, 16, sizes), "test")
    with open_artifact(checkpoint, 1) as runner:
        predict(runner, resizing, samples, 4, folder / "predictions", "toy")
    return folder
