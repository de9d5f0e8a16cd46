"""Stage quantize: int8 graphs of a run, for CPUs and for TensorRT.

reads   artifacts/export/RUN/model.onnx, artifacts/students/RUN, artifacts/teacher,
        artifacts/evaluation/RUN/predictions, data/prepared/classes.json, data/curated/samples.csv and the images and
        masks that it lists
writes  artifacts/quantize/RUN/ (model_int8.onnx, model_int8_tensorrt.onnx, calibration.csv),
        reports/metrics/quantize/RUN.json
"""

import argparse
from pathlib import Path

from pipeline.door import run_command
from pipeline.params import load_params
from pipeline.quantization.quantize import Paths, quantize_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    quantize_run(
        name,
        params.run(name),
        params.methods,
        params.training,
        params.quantization,
        params.parity,
        params.export,
        params.evaluation.split,
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
