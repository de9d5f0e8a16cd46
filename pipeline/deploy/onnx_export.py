"""From a checkpoint to the ONNX files that ship; what the graph is made of is asserted, not hoped for."""

import json
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from onnx import ModelProto, TensorProto

from models.build import Design
from models.segmenter import Segmenter
from models.shipping import LabelsGraph, LogitsGraph
from pipeline.data.files import replacing
from pipeline.errors import SegdistillError

IR_VERSION = 9  # the newest that three-year-old runtimes on robots still read
ALLOWED_OPS = frozenset(
    {"Add", "ArgMax", "AveragePool", "Cast", "Clip", "Concat", "Conv", "Div", "Expand", "HardSigmoid", "HardSwish"}
    | {"MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu", "Resize", "Sigmoid", "Sub", "Transpose"}
)
"""What convolutional segmenters are made of; anything else (pooling as hundreds of gathers, say) went astray."""


class ExportError(SegdistillError):
    """A graph that cannot be shipped."""


def export_graph(
    graph: LabelsGraph | LogitsGraph, design: Design, size: tuple[int, int], opset: int, max_nodes: int, path: Path
) -> ModelProto:
    """Write one self-contained ONNX file for images of one size, (H, W) pixels, batch 1.

    The output is called `labels` or `logits`; the class names stand in the file's metadata.

    Raises:
        ExportError: the result has another opset, unknown operators, too many nodes, or a machine's paths in it.
    """
    output = "labels" if isinstance(graph, LabelsGraph) else "logits"
    image = torch.zeros(1, *size, 3, dtype=torch.uint8)
    with replacing(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's notes to its own developers
            torch.onnx.export(
                graph, (image,), temporary, dynamo=True, opset_version=opset, external_data=False, verbose=False,
                input_names=["image"], output_names=[output],
            )  # fmt: skip
        model = onnx.load(temporary)
        _clean(model)
        metadata = {
            "segdistill.design": json.dumps(asdict(design)),
            "segdistill.classes": json.dumps(design.class_names),
        }
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, temporary)
        check_graph(temporary, opset, max_nodes)
    return model


def check_graph(path: Path, opset: int, max_nodes: int) -> None:
    """Refuse a graph that is not what we mean to ship."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    operators = Counter(node.op_type for node in model.graph.node)
    problems = []
    if found != {"ai.onnx": opset}:
        problems.append(f"operator sets {found}, asked for ai.onnx {opset} alone")
    if foreign := sorted(operators.keys() - ALLOWED_OPS):
        problems.append(f"operators {', '.join(foreign)} do not belong into a segmenter")
    if len(model.graph.node) > max_nodes:
        problems.append(f"{len(model.graph.node)} nodes, allowed are {max_nodes} (params.yaml: export.max_nodes)")
    if b"/site-packages/" in path.read_bytes() or str(Path.cwd()).encode() in path.read_bytes():
        problems.append("paths of this machine")
    if problems:
        raise ExportError(f"the exported graph is not fit to ship: {'; '.join(problems)}")


def precision_of(model: ModelProto) -> set[str]:
    """Types of the floating-point weights, for example {'FLOAT16'}."""
    floating = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return {TensorProto.DataType.Name(w.data_type) for w in model.graph.initializer if w.data_type in floating}


def export_checkpoint_graphs(
    segmenter: Segmenter, design: Design, size: tuple[int, int], opset: int, max_nodes: int, out: Path
) -> ModelProto:
    """Write out/model.onnx (labels, ships) and out/logits.onnx (parity, calibration); returns the first."""
    export_graph(LogitsGraph(segmenter), design, size, opset, max_nodes, out / "logits.onnx")
    return export_graph(LabelsGraph(segmenter), design, size, opset, max_nodes, out / "model.onnx")


def _clean(model: ModelProto) -> None:
    """Drop the exporter's notes: they hold paths and source lines, and make the bytes differ between checkouts."""
    model.ir_version = IR_VERSION
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.initializer,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
