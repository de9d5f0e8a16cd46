"""Stage teacher: the large network learns the dataset, supervised.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json), the samples that it names
writes  artifacts/teacher/checkpoint.safetensors, artifacts/teacher/training.csv
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.stage_table import load_stage
from pipeline.training.teacher import train_teacher


def main() -> None:
    stage = load_stage("teacher")
    train_teacher(
        **stage.settings,
        code=stage.code_digest,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        statistics=Path("data/curated/statistics.json"),
        scratch=Path("scratch"),
        out=Path("artifacts/teacher"),
    )


if __name__ == "__main__":
    run_command(main)
