"""The inputs of stage quantize."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.params.deployment import ExportParams, ParityParams, QuantizationParams
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The parameters of one run, and the files of earlier stages."""

    name: str
    run: RunParams
    methods: Mapping[str, Any]
    training: TrainingParams
    code: str  # digest of the code that runs
    quantization: QuantizationParams
    parity: ParityParams
    export: ExportParams
    split: str  # graphs are judged on it
    classes: Path
    samples: Path
    statistics: Path
    teacher: Path
    checkpoint: Path
    graph: Path  # model.onnx
    predictions: Path  # of the checkpoint on the evaluation split
    scratch: Path
