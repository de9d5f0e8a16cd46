"""Stage curate: decide which samples may be used, with a reason for each that may not.

reads   data/prepared, the images and masks that its sample list names, review.csv
writes  data/curated/samples.csv (what to use), data/curated/decisions.csv (every sample, with reasons),
        data/curated/statistics.json, reports/curation.md, reports/curation
"""

from pipeline.curation.curate import curate_dataset
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("curate", curate_dataset, __doc__)
