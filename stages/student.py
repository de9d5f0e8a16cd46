"""Stage student: one student learns, alone (the baseline) or from the frozen teacher.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json); if the run uses them: the teacher's
        checkpoint, the checkpoint that it is pruned from, the backbone of stage pretrain
writes  artifacts/students/RUN/checkpoint.safetensors, artifacts/students/RUN/training.csv
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.distillation.student import train_student
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("student", name)
    train_student(
        name=name,
        **stage.settings,
        code=stage.code_digest,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        statistics=Path("data/curated/statistics.json"),
        teacher=Path("artifacts/teacher/checkpoint.safetensors"),
        pretrained=Path("artifacts/pretraining"),
        source=Path("artifacts") / stage.settings["run"].prune.source / "checkpoint.safetensors",
        scratch=Path("scratch"),
        out=Path("artifacts/students") / name,
    )


if __name__ == "__main__":
    run_command(main)
