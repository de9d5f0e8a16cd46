"""A model repository for Triton Inference Server, made from the contract. It was not run here."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, write_text

RUNTIME = "onnxruntime"  # the server's backend of the same name runs the graph as it is
WARM_UP = "golden"  # file of raw pixels below warmup/


def write_model_repository(
    contract: dict[str, Any], choice: dict[str, Any], graph: Path, image: np.ndarray, classes: ClassTable, out: Path
) -> Path:
    """Write out/RUN_PRECISION/: config.pbtxt, labels.txt, 1/model.onnx and the pixels of a first request.

    Only one file is there a second time, so that the folder can be mounted as it is.

    Args:
        choice: the precision and model that is served, that of the contract's runtimes which is RUNTIME.
        image: the golden image, uint8 (H, W, 3).
    """
    model = out / f"{contract['run']}_{choice['precision']}"
    (model / "1").mkdir(parents=True)
    shutil.copyfile(graph, model / "1" / "model.onnx")
    write_text(model / "labels.txt", "".join(f"{name}\n" for name in classes.names))
    with replacing(model / "warmup" / WARM_UP) as temporary:
        temporary.write_bytes(np.ascontiguousarray(image).tobytes())
    write_text(model / "config.pbtxt", config(model.name, contract))
    return model


def config(name: str, contract: dict[str, Any]) -> str:
    """The server's configuration. The graph's batch is fixed, so the server adds none and the shapes are whole."""
    taken, given = json.dumps(contract["input_shape"]), json.dumps(contract["output_shape"])
    return f"""\
name: "{name}"
backend: "{RUNTIME}"
max_batch_size: 0
input [
  {{ name: "{contract["input"]}" data_type: TYPE_UINT8 dims: {taken} }}
]
output [
  {{ name: "{contract["output"]}" data_type: TYPE_UINT8 dims: {given} label_filename: "labels.txt" }}
]
instance_group [
  {{ count: 1 kind: KIND_CPU }}
]
model_warmup [
  {{
    name: "golden image"
    batch_size: 1
    inputs {{
      key: "{contract["input"]}"
      value: {{ data_type: TYPE_UINT8 dims: {taken} input_data_file: "{WARM_UP}" }}
    }}
  }}
]
"""
