"""Stage prepare: turn a raw dataset into one sample list and one class table.

reads   dataset.source of params.yaml
writes  data/prepared/samples.csv, data/prepared/classes.json; for drawn scenes also their images, data/prepared/raw
"""

from pipeline.preparation.prepare import prepare_dataset
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("prepare", prepare_dataset, __doc__)
