"""Export one run to ONNX and check that the files agree with the checkpoint."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from models.checkpoint import load_checkpoint
from models.export_wrappers import LabelsGraph, LogitsGraph
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.deploy.layer_outputs import HALF_LIMIT, first_divergence, largest_activation
from pipeline.deploy.onnx_export import export_graph, write_half, write_logits
from pipeline.deploy.onnx_rules import IR_VERSION
from pipeline.deploy.parity_gate import judge, judge_on_other_runtimes
from pipeline.deploy.torch_activations import activations_in_pytorch
from pipeline.errors import ArtifactError
from pipeline.measure.parity import measure_parity
from pipeline.params.deployment import ExportParams, ParityParams
from pipeline.records.artifacts import Activations, Export, Parity
from pipeline.records.files import write_record
from pipeline.runtime.artifacts import open_artifact
from pipeline.threads import available_threads
from segdistill_runtime.runner import InputShape, Runner

DIVERGED_FULL, DIVERGED_HALF = 1e-3, 2e-2  # relative error of a layer's output; rounding stays below it


def export_run(
    name: str, export: ExportParams, parity: ParityParams, split: str, classes: Path, samples: Path,
    checkpoint: Path, predictions: Path, out: Path, metrics: Path,
) -> None:  # fmt: skip
    """Write out/model.onnx, model_fp16.onnx and logits.onnx, and their parity over the full split as `metrics`.

    The float16 graph is recorded as rejected if it is over its budget, or if its activations come near the end of the
    range. The float32 graph is recorded as rejected for OpenVINO alone, if only OpenVINO is over the budget.

    Raises:
        ArtifactError: labels or logits differ from PyTorch's by more than the parameters allow. For labels the message
            names the layer.
    """
    chosen, table = read_samples(samples, split), ClassTable.load(classes)
    resizing = export.resizing
    segmenter, design, _ = load_checkpoint(checkpoint)

    def write(shape: InputShape, file: str) -> None:
        export_graph(LabelsGraph(segmenter), design, shape, export.opset, out / file)

    def compared(runner: Runner) -> Parity:
        with runner:
            title = f"{name} {runner.name}"
            return measure_parity(runner, resizing, chosen, predictions, table, parity.boundary_pixels, title)

    threads = available_threads()
    full, half, scores = (out / file for file in ("model.onnx", "model_fp16.onnx", "logits.onnx"))
    write(InputShape(1, export.height, export.width), full.name)
    write_half(full, half)
    write_logits(full, scores)
    for other in export.other_shapes:
        shape = InputShape(other.batch, other.height, other.width)
        write(shape, f"model_{shape}.onnx")
    first = chosen[: export.logit_images]
    images = [resizing.apply(read_image(sample.image, sample.image_sha256))[None] for sample in first]
    logits = largest_logit_difference(segmenter, scores, images)
    activations = largest_activation(full, images)

    too_large = _out_of_range(activations, largest_activation(half, images))
    source = partial(activations_in_pytorch, LabelsGraph(segmenter))
    diverges = partial(first_divergence, source, full, images[0], DIVERGED_FULL)
    judged = judge(full, "fp32", compared(open_artifact(full, threads)), parity.onnx_fp32, diverges)
    diverges = partial(first_divergence, full, half, images[0], DIVERGED_HALF)
    artifacts = [
        judged,
        judge(half, "fp16", compared(open_artifact(half, threads)), parity.fp16, diverges, too_large),
        *judge_on_other_runtimes(full, "fp32", compared, parity.onnx_fp32),
    ]
    nodes = [node.op_type for node in onnx.load(full).graph.node]
    record = Export(
        run=name, opset=export.opset, ir_version=IR_VERSION, nodes=len(nodes), operators=sorted(set(nodes)),
        max_logit_difference=logits, activations=activations, artifacts=artifacts,
    )  # fmt: skip
    write_record(metrics, record)
    if judged.status == "rejected":
        raise ArtifactError(f"{name}: model.onnx disagrees with the checkpoint: {judged.reason}")
    if logits > export.max_logit_difference:
        raise ArtifactError(
            f"{name}: logits.onnx differs from PyTorch by {logits:.2e}; the limit is {export.max_logit_difference:.0e} "
            f"(export.max_logit_difference in params.yaml)"
        )


def _out_of_range(full: Activations, half: Activations) -> list[str]:
    """Return why float16 cannot hold the activations; an empty list if it can."""
    if not half.finite:
        return [f"layer {half.layer} gives infinities or NaN in float16"]
    if full.magnitude > HALF_LIMIT:
        reached = f"activations of layer {full.layer} reach {full.magnitude:.0f}, float16 ends at 65504"
        return [f"{reached}; the limit is {HALF_LIMIT:.0f}, because other images may reach more"]
    return []


def largest_logit_difference(segmenter: Segmenter, graph: Path, images: Sequence[np.ndarray]) -> float:
    """Return the largest absolute difference of class scores between PyTorch and ONNX Runtime.

    Args:
        images: each uint8 (1, H, W, 3).
    """
    eager, worst = LogitsGraph(segmenter), 0.0
    with open_artifact(graph, available_threads()) as runner, torch.inference_mode():
        for image in images:
            worst = max(worst, float(np.abs(runner.run(image) - eager(torch.from_numpy(image)).numpy()).max()))
    return worst
