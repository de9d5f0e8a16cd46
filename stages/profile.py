"""Stage profile: latency of a run's checkpoint, ONNX files and engines on the runtimes of this machine, side by side.

reads   artifacts/{students,export,quantize,engine}/RUN, reports/metrics/{export,quantize,engine}/RUN.json,
        data/curated/samples.csv
writes  reports/metrics/profile/RUN.json
"""

import argparse
from pathlib import Path

from pipeline.door import run_command
from pipeline.measure.profile import profile_run
from pipeline.measure.targets import RunFiles, find_targets
from pipeline.params import load_params
from pipeline.runtime import InputShape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    params.run(name)
    artifacts, metrics = Path("artifacts"), Path("reports/metrics")
    files = RunFiles(
        checkpoint=artifacts / "students" / name / "checkpoint.safetensors",
        export=artifacts / "export" / name,
        quantize=artifacts / "quantize" / name,
        engine=artifacts / "engine" / name,
        export_metrics=metrics / "export" / f"{name}.json",
        quantize_metrics=metrics / "quantize" / f"{name}.json",
        engine_metrics=metrics / "engine" / f"{name}.json",
    )
    shape = InputShape(1, params.export.height, params.export.width)
    profile_run(
        name,
        params.profile,
        params.evaluation.split,
        find_targets(files, shape, params.export.other_shapes, params.profile.runtimes),
        samples=Path("data/curated/samples.csv"),
        metrics=metrics / "profile" / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
