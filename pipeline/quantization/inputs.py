"""What stage quantize reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.params.deployment import ExportParams, ParityParams, QuantizationParams
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Of one run: parameters, and the files that the stages before left."""

    name: str
    run: RunParams
    methods: Mapping[str, Any]
    training: TrainingParams
    code: str  # digest of the code at work
    quantization: QuantizationParams
    parity: ParityParams
    export: ExportParams
    split: str  # that graphs are judged on
    classes: Path
    samples: Path
    statistics: Path
    teacher: Path
    checkpoint: Path
    graph: Path  # model.onnx
    predictions: Path  # of the checkpoint on the evaluation split
    scratch: Path
