"""Stage inspect: predict every sample with the teacher, for the App and for the report.

reads   the teacher's checkpoint, data/prepared/classes.json, data/curated/decisions.csv, artifacts/evaluation
writes  artifacts/inspection (the teacher's predictions, embeddings.npy, samples.jsonl)
"""

from pipeline.inspection.inspect import inspect_dataset
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("inspect", inspect_dataset, __doc__)
