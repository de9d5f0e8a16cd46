"""Stage inspect: the teacher looks at every sample, for the App and for the report.

reads   the teacher's checkpoint, data/prepared/classes.json, data/curated/decisions.csv, artifacts/evaluation
writes  artifacts/inspection (the teacher's predictions, embeddings.npy, samples.jsonl)
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.inspection.inspect import inspect_dataset
from pipeline.stage_table import load_stage


def main() -> None:
    stage = load_stage("inspect")
    inspect_dataset(
        **stage.settings,
        classes=Path("data/prepared/classes.json"),
        decisions=Path("data/curated/decisions.csv"),
        checkpoint=Path("artifacts/teacher/checkpoint.safetensors"),
        evaluated=Path("artifacts/evaluation"),
        out=Path("artifacts/inspection"),
    )


if __name__ == "__main__":
    run_command(main)
