"""Stage teacher: the large network learns the dataset, supervised.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json), the samples that it names
writes  artifacts/teacher/checkpoint.safetensors, artifacts/teacher/training.csv
"""

from pipeline.stage_table import run_stage
from pipeline.training.teacher import train_teacher

if __name__ == "__main__":
    run_stage("teacher", train_teacher, __doc__)
