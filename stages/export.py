"""Stage export: a run's checkpoint becomes ONNX, compared with PyTorch on the whole evaluation split.

reads   artifacts/students/RUN/checkpoint.safetensors, artifacts/evaluation/RUN/predictions, data/prepared/classes.json,
        data/curated/samples.csv and the images and masks that it lists
writes  artifacts/export/RUN/ (model.onnx, model_fp16.onnx, logits.onnx, other shapes), reports/metrics/export/RUN.json
"""

import argparse
from pathlib import Path

from pipeline.deploy.export import export_run
from pipeline.door import run_command
from pipeline.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    params.run(name)
    export_run(
        name,
        params.export,
        params.parity,
        params.evaluation.split,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        checkpoint=Path("artifacts/students") / name / "checkpoint.safetensors",
        predictions=Path("artifacts/evaluation") / name / "predictions",
        out=Path("artifacts/export") / name,
        metrics=Path("reports/metrics/export") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
