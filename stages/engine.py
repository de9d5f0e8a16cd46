"""Stage engine: TensorRT engines of one run, for the compute capabilities and precisions in the parameters.

reads   artifacts/export/RUN, artifacts/students/RUN, artifacts/evaluation/RUN/predictions,
        data/prepared/classes.json, data/curated/samples.csv and the images and masks that it lists
writes  artifacts/engine/RUN/ (*.engine, model_fp16.onnx), reports/metrics/engine/RUN.json
"""

import argparse
from pathlib import Path

from pipeline.deploy.engines import build_run_engines
from pipeline.door import run_command
from pipeline.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    params.run(name)
    build_run_engines(
        name,
        params.engine,
        params.export,
        params.evaluation.split,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        checkpoint=Path("artifacts/students") / name / "checkpoint.safetensors",
        graph=Path("artifacts/export") / name / "model.onnx",
        predictions=Path("artifacts/evaluation") / name / "predictions",
        out=Path("artifacts/engine") / name,
        metrics=Path("reports/metrics/engine") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
