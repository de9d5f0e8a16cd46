"""Stage release: one run becomes a bundle that needs nothing of this project.

reads   artifacts/export/RUN/model.onnx, artifacts/engine/RUN, reports/metrics, data/prepared/classes.json, dvc.lock
writes  artifacts/release/RUN/
"""

import argparse
from pathlib import Path

from pipeline.deploy.release import package_release
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
        params.export,
        classes=Path("data/prepared/classes.json"),
        graph=Path("artifacts/export") / name / "model.onnx",
        engines=Path("artifacts/engine") / name,
        metrics=Path("reports/metrics"),
        lock=Path("dvc.lock"),
        out=Path("artifacts/release") / name,
    )


if __name__ == "__main__":
    run_command(main)
