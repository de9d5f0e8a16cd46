"""Stage evaluate: judge one checkpoint on whole images of the evaluation split.

reads   the checkpoint of RUN (or of the teacher), data/prepared/classes.json, data/curated/samples.csv
writes  artifacts/evaluation/RUN (predictions, confusion, per image, pictures), reports/metrics/evaluate/RUN.json
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.measure.evaluate import evaluate_checkpoint
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("evaluate", name)
    folder = Path("artifacts/teacher") if name == "teacher" else Path("artifacts/students") / name
    evaluate_checkpoint(
        name=name,
        **stage.settings,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        checkpoint=folder / "checkpoint.safetensors",
        out=Path("artifacts/evaluation") / name,
        metrics=Path("reports/metrics/evaluate") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
