"""Stage release: package one run as a bundle that works without this project, or record why the run is rejected.

reads   artifacts/export/RUN, artifacts/quantize/RUN, artifacts/engine/RUN, reports/metrics, data/prepared/classes.json,
        data/curated/samples.csv and the first image of the evaluation split, dvc.lock; the environment variable
        SEGDISTILL_SIGNING_KEY (path of a private key; without it the bundle is unsigned)
writes  artifacts/release/RUN/, reports/releases/RUN/ (perf.yaml, numerics.yaml)
"""

from functools import partial

from pipeline.deploy.release import Folders, package_release
from pipeline.deploy.signing import signing_key
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("release", partial(package_release, signing_key=signing_key()), __doc__, folders=Folders)
