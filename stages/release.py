"""Stage release: one run becomes a bundle that needs nothing of this project, or a record of why it was rejected.

reads   artifacts/export/RUN, artifacts/quantize/RUN, artifacts/engine/RUN, reports/metrics, data/prepared/classes.json,
        data/curated/samples.csv and the first image of the evaluation split, dvc.lock; the environment variable
        SEGDISTILL_SIGNING_KEY, path of a private key: without it the bundle is unsigned
writes  artifacts/release/RUN/, reports/releases/RUN/ (perf.yaml, numerics.yaml)
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.deploy.release import Folders, package_release
from pipeline.deploy.signing import signing_key
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("release", name)
    package_release(
        name=name,
        **stage.settings,
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
