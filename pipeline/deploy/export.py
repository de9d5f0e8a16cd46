"""Export one run and prove that the files do what the checkpoint does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import load_checkpoint
from models.segmenter import Segmenter
from models.shipping import LogitsGraph
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256, write_json
from pipeline.data.images import read_image
from pipeline.data.samples import Sample, read_samples
from pipeline.deploy.onnx_export import export_checkpoint_graphs
from pipeline.measure.parity import ParityError, measure_parity, require_parity, require_size
from pipeline.params import ExportParams
from pipeline.runtime import available_threads
from pipeline.runtime.onnx_runner import OnnxRunner


def export_run(
    name: str,
    export: ExportParams,
    split: str,
    classes: Path,
    samples: Path,
    checkpoint: Path,
    predictions: Path,
    out: Path,
    metrics: Path,
) -> None:
    """Write out/model.onnx, out/logits.onnx and the parity over the full split as `metrics`.

    Raises:
        ParityError: labels or logits differ from PyTorch's by more than the parameters allow.
    """
    chosen = read_samples(samples, split)
    require_size(chosen, export.height, export.width)
    segmenter, design, _ = load_checkpoint(checkpoint)
    model = export_checkpoint_graphs(
        segmenter, design, (export.height, export.width), export.opset, export.max_nodes, out
    )
    logits = largest_logit_difference(segmenter, out / "logits.onnx", chosen[: export.logit_images])
    with OnnxRunner(out / "model.onnx", available_threads()) as runner:
        parity = measure_parity(runner, chosen, predictions, ClassTable.load(classes), name)
    write_json(
        metrics,
        {
            "run": name,
            "opset": export.opset,
            "ir_version": model.ir_version,
            "nodes": len(model.graph.node),
            "operators": sorted({node.op_type for node in model.graph.node}),
            "bytes": (out / "model.onnx").stat().st_size,
            "sha256": sha256(out / "model.onnx"),
            "parity": {**parity.record(), "max_logit_difference": logits},
        },
    )
    require_parity(parity, f"{name}: model.onnx", export.min_pixel_agreement, export.max_miou_difference_points)
    if logits > export.max_logit_difference:
        raise ParityError(
            f"{name}: logits.onnx differs from PyTorch by {logits:.2e}, allowed are {export.max_logit_difference:.0e} "
            f"(params.yaml: export.max_logit_difference)"
        )


def largest_logit_difference(segmenter: Segmenter, graph: Path, samples: Sequence[Sample]) -> float:
    """Largest absolute difference of any class score between PyTorch and ONNX Runtime."""
    eager, worst = LogitsGraph(segmenter), 0.0
    with OnnxRunner(graph, available_threads()) as runner, torch.inference_mode():
        for sample in samples:
            image = read_image(sample.image)[None]
            worst = max(worst, float(np.abs(runner.run(image) - eager(torch.from_numpy(image)).numpy()).max()))
    return worst
