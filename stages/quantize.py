"""Stage quantize: int8 graphs of a run, for CPUs and for TensorRT.

reads   artifacts/export/RUN/model.onnx, artifacts/students/RUN, artifacts/evaluation/RUN/predictions,
        data/prepared/classes.json, data/curated/samples.csv and the images and masks that it lists; if a distilled
        run may be trained on with rounding, artifacts/teacher
writes  artifacts/quantize/RUN/ (model_int8.onnx, model_int8_tensorrt.onnx, calibration.csv),
        reports/metrics/quantize/RUN.json
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.quantization.quantize import Paths, quantize_run
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("quantize", name)
    quantize_run(
        name=name,
        **stage.settings,
        code=stage.code_digest,
        paths=Paths(
            classes=Path("data/prepared/classes.json"),
            samples=Path("data/curated/samples.csv"),
            statistics=Path("data/curated/statistics.json"),
            teacher=Path("artifacts/teacher/checkpoint.safetensors"),
            checkpoint=Path("artifacts/students") / name / "checkpoint.safetensors",
            graph=Path("artifacts/export") / name / "model.onnx",
            predictions=Path("artifacts/evaluation") / name / "predictions",
            scratch=Path("scratch"),
        ),
        out=Path("artifacts/quantize") / name,
        metrics=Path("reports/metrics/quantize") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
