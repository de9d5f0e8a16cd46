"""Stage release: one run becomes a bundle that needs nothing of this project, or a record of why it was rejected.

reads   artifacts/export/RUN, artifacts/quantize/RUN, artifacts/engine/RUN, reports/metrics, data/prepared/classes.json,
        data/curated/samples.csv and the first image of the evaluation split, dvc.lock; the environment variable
        SEGDISTILL_SIGNING_KEY, path of a private key: without it the bundle is unsigned
writes  artifacts/release/RUN/, reports/releases/RUN/ (perf.yaml, numerics.yaml)
"""

import argparse
from pathlib import Path

from pipeline.deploy.release import Folders, package_release
from pipeline.deploy.signing import signing_key
from pipeline.door import run_command
from pipeline.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    package_release(
        name,
        params.run(name),
        (params.export.height, params.export.width),
        params.evaluation.split,
        params.parity,
        params.release,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        lock=Path("dvc.lock"),
        folders=Folders(
            export=Path("artifacts/export") / name,
            quantize=Path("artifacts/quantize") / name,
            engines=Path("artifacts/engine") / name,
            metrics=Path("reports/metrics"),
            out=Path("artifacts/release") / name,
            reports=Path("reports/releases") / name,
        ),
        signing_key=signing_key(),
    )


if __name__ == "__main__":
    run_command(main)
