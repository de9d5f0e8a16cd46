"""Stage preflight: check now the requirements that later stages would check after hours of training.

reads   data/prepared/classes.json, data/curated (samples.csv, statistics.json), the files of weights, the free disk
writes  artifacts/preflight.json
"""

from pipeline.preflight.check import check_profile
from pipeline.preflight.inputs import Inputs
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("preflight", check_profile, __doc__, inputs=Inputs)
