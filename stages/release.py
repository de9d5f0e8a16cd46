"""Stage release: one run becomes a bundle that needs nothing of this project, or a record of why it was rejected.

reads   artifacts/export/RUN, artifacts/quantize/RUN, artifacts/engine/RUN, reports/metrics, data/prepared/classes.json,
        data/curated/samples.csv and the first image of the evaluation split, dvc.lock; the environment variable
        SEGDISTILL_SIGNING_KEY, path of a private key: without it the bundle is unsigned
writes  artifacts/release/RUN/, reports/releases/RUN/ (perf.yaml, numerics.yaml)
"""

from typing import Any

from pipeline.deploy.release import Folders, package_release
from pipeline.deploy.signing import signing_key
from pipeline.stage_table import run_stage


def main(**arguments: Any) -> None:
    folders = Folders(**{name: arguments.pop(name) for name in Folders._fields})
    package_release(folders=folders, signing_key=signing_key(), **arguments)


if __name__ == "__main__":
    run_stage("release", main, __doc__)
