"""Stage student: train one student, alone (the baseline) or from the frozen teacher.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json); if the run uses them, the teacher's
        checkpoint, the checkpoint that it prunes, the backbone of stage pretrain
writes  artifacts/students/RUN/checkpoint.safetensors, artifacts/students/RUN/training.csv
"""

from pipeline.distillation.student import train_student
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("student", train_student, __doc__)
