"""From a checkpoint to the ONNX files that ship; what the graph is made of is asserted, not hoped for."""

import ast
import json
import logging
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import onnx
import onnx_ir
import onnxscript.optimizer
import torch
from onnx import ModelProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from models.build import Design
from models.errors import ModelError
from models.export_wrappers import LabelsGraph
from pipeline.data.files import replacing
from pipeline.deploy.onnx_rules import ALLOWED_OPS, IR_VERSION, check_graph
from segdistill_runtime.runner import InputShape

FOLDED_UP_TO = 2**26  # numbers
SCOPES = "pkg.torch.onnx.name_scopes"


def export_graph(graph: LabelsGraph, design: Design, shape: InputShape, opset: int, path: Path) -> None:
    """Write one self-contained ONNX file for images of one shape.

    Nodes have the names of their layers. The result passes `check_graph`.
    """
    with replacing(path) as temporary:
        to_onnx(graph, torch.zeros(*shape, 3, dtype=torch.uint8), opset, temporary)
        model = _folded(onnx.load(temporary))
        _name_by_layers(model)
        _clean(model)
        described = {"design": asdict(design), "classes": design.class_names}
        onnx.helper.set_model_props(model, {f"segdistill.{key}": json.dumps(value) for key, value in described.items()})
        onnx.save(model, temporary)
        check_graph(temporary, opset, ALLOWED_OPS)


def write_logits(labels: Path, path: Path) -> None:
    """Write the graph of `labels` up to its class scores, float32 (n, k, H, W), which it calls `logits`."""
    model = onnx.load(labels)
    scores = next(node.input[0] for node in model.graph.node if node.op_type == "ArgMax")
    cut = onnx.utils.Extractor(model).extract_model(["image"], [scores])
    for node in cut.graph.node:
        node.output[:] = ["logits" if name == scores else name for name in node.output]
    cut.graph.output[0].name = "logits"
    with replacing(path) as temporary:
        onnx.save(cut, temporary)
        check_graph(temporary, cut.opset_import[0].version, ALLOWED_OPS)


def write_half(labels: Path, path: Path) -> None:
    """Write the graph of `labels` with weights and maps in float16; images and labels stay as they are."""
    model = convert_float_to_float16(onnx.load(labels), keep_io_types=True)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
        check_graph(temporary, model.opset_import[0].version, ALLOWED_OPS)


def to_onnx(graph: LabelsGraph, image: torch.Tensor, opset: int, path: Path | None) -> torch.onnx.ONNXProgram:
    """PyTorch's exporter, without its notes to its own developers; tensors keep the names of the traced graph's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                graph, (image,), path, dynamo=True, opset_version=opset, external_data=False, verbose=False,
                input_names=["image"], output_names=["labels"],
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(
                f"PyTorch cannot export this network to ONNX (opset {opset}); take another backbone, or a ResNet"
            ) from error
    assert program is not None  # it is None for the exporter of old only
    return program


def _folded(model: ModelProto) -> ModelProto:
    """Compute beforehand what depends on the shape alone; the exporter does so for small tensors only."""
    graph = onnx_ir.from_proto(model)
    onnxscript.optimizer.fold_constants(graph, input_size_limit=FOLDED_UP_TO, output_size_limit=FOLDED_UP_TO)
    onnxscript.optimizer.remove_unused_nodes(graph)
    return onnx_ir.to_proto(graph)


def _name_by_layers(model: ModelProto) -> None:
    """Call a node MODULE/OPERATOR, so that whatever is said of it can be looked up in the network."""
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = next((ast.literal_eval(entry.value) for entry in node.metadata_props if entry.key == SCOPES), [])
        module = scopes[-2].removeprefix("segmenter.") if len(scopes) > 1 else ""
        name = f"{module or 'graph'}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _clean(model: ModelProto) -> None:
    """Drop the exporter's notes: they hold paths and source lines, and make the bytes differ between checkouts."""
    model.ir_version = IR_VERSION
    graph = model.graph
    del model.metadata_props[:]
    model.doc_string = ""
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
