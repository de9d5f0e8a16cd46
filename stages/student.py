"""Stage student: one student learns, alone (the baseline) or from the frozen teacher.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json),
        artifacts/teacher/checkpoint.safetensors for a student that is taught,
        artifacts/SOURCE/checkpoint.safetensors for a student that is pruned from another network, and
        artifacts/pretraining/backbone.safetensors for one that begins with it
writes  artifacts/students/RUN/checkpoint.safetensors, artifacts/students/RUN/training.csv
"""

import argparse
from pathlib import Path

from pipeline.distillation.student import train_student
from pipeline.door import run_command
from pipeline.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    run = params.run(name)
    train_student(
        name=name,
        run=run,
        methods=params.methods,
        training=params.training,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        statistics=Path("data/curated/statistics.json"),
        teacher=Path("artifacts/teacher/checkpoint.safetensors"),
        pretrained=Path("artifacts/pretraining"),
        source=Path("artifacts") / run.prune.source / "checkpoint.safetensors",
        scratch=Path("scratch"),
        out=Path("artifacts/students") / name,
    )


if __name__ == "__main__":
    run_command(main)
