"""Stage evaluate: measure the accuracy of one checkpoint on whole images of the evaluation split.

reads   the checkpoint of RUN (or of the teacher), data/prepared/classes.json, data/curated/samples.csv
writes  artifacts/evaluation/RUN (predictions, confusion, per image), reports/metrics/evaluate/RUN.json
"""

from pipeline.measure.evaluate import evaluate_checkpoint
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("evaluate", evaluate_checkpoint, __doc__)
