"""Export a checkpoint to the ONNX files of a release; each graph has to pass `check_graph`."""

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

FOLDED_UP_TO = 2**26  # values in a tensor
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
    """Write the graph of `labels` up to its class scores: the output `logits`, float32 (n, k, H, W)."""
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
    """Write the graph of `labels` with weights and feature maps in float16; images and labels keep their types."""
    model = convert_float_to_float16(onnx.load(labels), keep_io_types=True)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
        check_graph(temporary, model.opset_import[0].version, ALLOWED_OPS)


def to_onnx(graph: LabelsGraph, image: torch.Tensor, opset: int, path: Path | None) -> torch.onnx.ONNXProgram:
    """Export with PyTorch, without its notes to its developers; tensors keep their names from the traced graph."""
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
                f"PyTorch cannot export this network to ONNX (opset {opset}); choose another backbone, such as a ResNet"
            ) from error
    assert program is not None  # only the old exporter returns None
    return program


def _folded(model: ModelProto) -> ModelProto:
    """Fold the tensors that depend on the shape alone; the exporter folds only small ones."""
    graph = onnx_ir.from_proto(model)
    onnxscript.optimizer.fold_constants(graph, input_size_limit=FOLDED_UP_TO, output_size_limit=FOLDED_UP_TO)
    onnxscript.optimizer.remove_unused_nodes(graph)
    return onnx_ir.to_proto(graph)


def _name_by_layers(model: ModelProto) -> None:
    """Name each node MODULE/OPERATOR, so that a message about a node names its module in the network."""
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = next((ast.literal_eval(entry.value) for entry in node.metadata_props if entry.key == SCOPES), [])
        module = scopes[-2].removeprefix("segmenter.") if len(scopes) > 1 else ""
        name = f"{module or 'graph'}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _clean(model: ModelProto) -> None:
    """Delete the exporter's notes: their paths and source lines would make the bytes differ between checkouts."""
    model.ir_version = IR_VERSION
    graph = model.graph
    del model.metadata_props[:]
    model.doc_string = ""
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
