"""Stage curate: decide which samples are used, and record why each other sample is excluded.

reads   data/prepared, the images and masks in its sample list, review.csv
writes  data/curated/samples.csv (samples to use), data/curated/decisions.csv (all samples, with reasons),
        data/curated/statistics.json, reports/curation.md, reports/curation
"""

from pipeline.curation.curate import curate_dataset
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("curate", curate_dataset, __doc__)
