"""Stage engine: TensorRT engines of one run, for the compute capabilities and precisions in the parameters.

reads   artifacts/export/RUN, artifacts/quantize/RUN, artifacts/evaluation/RUN/predictions,
        reports/metrics/export/RUN.json, reports/metrics/quantize/RUN.json,
        data/prepared/classes.json, data/curated/samples.csv and the images and masks that it lists
writes  artifacts/engine/RUN/ (*.engine, each with *.engine.json), reports/metrics/engine/RUN.json
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.deploy.engine import build_run_engines
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("engine", name)
    build_run_engines(
        name=name,
        **stage.settings,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        export=Path("artifacts/export") / name,
        quantize=Path("artifacts/quantize") / name,
        export_metrics=Path("reports/metrics/export") / f"{name}.json",
        quantize_metrics=Path("reports/metrics/quantize") / f"{name}.json",
        predictions=Path("artifacts/evaluation") / name / "predictions",
        scratch=Path("scratch/engine"),
        out=Path("artifacts/engine") / name,
        metrics=Path("reports/metrics/engine") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
