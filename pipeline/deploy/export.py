"""Export one run and prove that the files do what the checkpoint does."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.build import Design
from models.checkpoint import load_checkpoint
from models.export_wrappers import LabelsGraph, LogitsGraph
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.deploy.layer_outputs import (
    Divergence,
    Largest,
    Probe,
    activations_in_pytorch,
    first_divergence,
    largest_activation,
)
from pipeline.deploy.onnx_export import export_graph
from pipeline.deploy.onnx_rules import IR_VERSION
from pipeline.deploy.parity_gate import judge, judge_on_other_runtimes
from pipeline.errors import ArtifactError
from pipeline.measure.parity import measure_parity, require_size
from pipeline.params.deployment import ExportParams, ParityParams
from pipeline.records.export import Activations, Export
from pipeline.records.files import write_record
from pipeline.records.parity import Parity
from pipeline.runtime.artifacts import available_threads, open_artifact
from segdistill_runtime.runner import InputShape, Runner

HALF_LIMIT = 65504 / 4  # the largest float16, with room for images that nobody has scanned
DIVERGED_FULL, DIVERGED_HALF = 1e-3, 2e-2  # relative error of a layer's output that is more than rounding


def export_run(
    name: str,
    export: ExportParams,
    parity: ParityParams,
    split: str,
    classes: Path,
    samples: Path,
    checkpoint: Path,
    predictions: Path,
    out: Path,
    metrics: Path,
) -> None:
    """Write out/model.onnx, model_fp16.onnx, logits.onnx and how far they agree over the full split as `metrics`.

    A float16 graph that is over its budget, or whose activations come near the end of the range, is recorded as
    rejected, and so is the float32 graph for OpenVINO alone, if it is over its budget there and nowhere else.

    Raises:
        ArtifactError: labels or logits differ from PyTorch's by more than the parameters allow; names the layer.
    """
    chosen, table = read_samples(samples, split), ClassTable.load(classes)
    require_size(chosen, export.height, export.width)
    segmenter, design, _ = load_checkpoint(checkpoint)
    nodes = _write_graphs(segmenter, design, export, out)
    images = [read_image(sample.image, sample.image_sha256)[None] for sample in chosen[: export.logit_images]]
    logits = largest_logit_difference(segmenter, out / "logits.onnx", images)
    largest = largest_activation(out / "model.onnx", images)

    def compared(runner: Runner) -> Parity:
        return measure_parity(runner, chosen, predictions, table, parity.boundary_pixels, f"{name} {runner.name}")

    def measured(file: str) -> Parity:
        with open_artifact(out / file, available_threads()) as runner:
            return compared(runner)

    def full_diverges() -> Divergence:
        source = activations_in_pytorch(LabelsGraph(segmenter), images[0], export.opset)
        return first_divergence(source, Probe(out / "model.onnx"), images[0], DIVERGED_FULL)

    def half_diverges() -> Divergence:
        source = Probe(out / "model.onnx").activations(images[0])
        return first_divergence(source, Probe(out / "model_fp16.onnx"), images[0], DIVERGED_HALF)

    full = judge(
        out / "model.onnx", "fp32", measured("model.onnx"),
        parity.onnx_fp32, full_diverges,
    )  # fmt: skip
    half = judge(
        out / "model_fp16.onnx", "fp16", measured("model_fp16.onnx"),
        parity.fp16, half_diverges, _out_of_range(largest, largest_activation(out / "model_fp16.onnx", images)),
    )  # fmt: skip
    elsewhere = judge_on_other_runtimes(out / "model.onnx", "fp32", compared, parity.onnx_fp32)
    record = Export(
        run=name,
        opset=export.opset,
        ir_version=IR_VERSION,
        nodes=sum(nodes.values()),
        operators=sorted(nodes),
        max_logit_difference=logits,
        activations=Activations(images=len(images), **largest._asdict(), limit_of_fp16=HALF_LIMIT),
        artifacts=[full, half, *elsewhere],
    )
    write_record(metrics, record)
    if full.status == "rejected":
        raise ArtifactError(f"{name}: model.onnx does not do what the checkpoint does: {full.reason}")
    if logits > export.max_logit_difference:
        raise ArtifactError(
            f"{name}: logits.onnx differs from PyTorch by {logits:.2e}, allowed are {export.max_logit_difference:.0e} "
            f"(params.yaml: export.max_logit_difference)"
        )


def _write_graphs(segmenter: Segmenter, design: Design, export: ExportParams, out: Path) -> Counter[str]:
    """All graphs that the parameters ask for; returns how many nodes of each operator the one that ships has."""
    shape = InputShape(1, export.height, export.width)
    others = [InputShape(other.batch, other.height, other.width) for other in export.other_shapes]
    limits = (export.opset, export.max_nodes)
    export_graph(LogitsGraph(segmenter), design, shape, *limits, out / "logits.onnx")
    export_graph(LabelsGraph(segmenter, torch.float16), design, shape, *limits, out / "model_fp16.onnx")
    for other in others:
        export_graph(LabelsGraph(segmenter), design, other, *limits, out / f"model_{other}.onnx")
    model = export_graph(LabelsGraph(segmenter), design, shape, *limits, out / "model.onnx")
    return Counter(node.op_type for node in model.graph.node)


def _out_of_range(full: Largest, half: Largest) -> list[str]:
    """Why float16 is no type for these activations."""
    if not half.finite:
        return [f"layer {half.layer} gives infinities or NaN in float16"]
    if full.magnitude > HALF_LIMIT:
        return [
            f"activations of layer {full.layer} reach {full.magnitude:.0f}, float16 ends at 65504 "
            f"and images differ: up to {HALF_LIMIT:.0f} are allowed"
        ]
    return []


def largest_logit_difference(segmenter: Segmenter, graph: Path, images: Sequence[np.ndarray]) -> float:
    """Largest absolute difference of any class score between PyTorch and ONNX Runtime; images uint8 (1, H, W, 3)."""
    eager, worst = LogitsGraph(segmenter), 0.0
    with open_artifact(graph, available_threads()) as runner, torch.inference_mode():
        for image in images:
            worst = max(worst, float(np.abs(runner.run(image) - eager(torch.from_numpy(image)).numpy()).max()))
    return worst
