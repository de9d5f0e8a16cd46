"""Stage export: a run's checkpoint becomes ONNX, compared with PyTorch on the whole evaluation split.

reads   artifacts/students/RUN/checkpoint.safetensors, artifacts/evaluation/RUN/predictions, data/prepared/classes.json,
        data/curated/samples.csv and the images and masks that it lists
writes  artifacts/export/RUN/ (model.onnx, model_fp16.onnx, logits.onnx, other shapes), reports/metrics/export/RUN.json
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.deploy.export import export_run
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("export", name)
    export_run(
        name=name,
        **stage.settings,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        checkpoint=Path("artifacts/students") / name / "checkpoint.safetensors",
        predictions=Path("artifacts/evaluation") / name / "predictions",
        out=Path("artifacts/export") / name,
        metrics=Path("reports/metrics/export") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
