"""Stage teacher: train the large network on the dataset, supervised.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json), the images and masks that it lists
writes  artifacts/teacher/checkpoint.safetensors, artifacts/teacher/training.csv
"""

from pipeline.distillation.student import train_student
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("teacher", train_student, __doc__)
