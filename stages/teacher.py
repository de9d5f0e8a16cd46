"""Stage teacher: the large network learns the dataset, supervised.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json), the samples that it names
writes  artifacts/teacher/checkpoint.safetensors, artifacts/teacher/training.csv
"""

from pathlib import Path

from pipeline.door import run_command
from pipeline.params import load_params
from pipeline.training.teacher import train_teacher


def main() -> None:
    params = load_params()
    train_teacher(
        teacher=params.teacher,
        training=params.training,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        statistics=Path("data/curated/statistics.json"),
        scratch=Path("scratch"),
        out=Path("artifacts/teacher"),
    )


if __name__ == "__main__":
    run_command(main)
