"""Stage profile: latency of a run's checkpoint, ONNX file and engines on this machine.

reads   artifacts/students/RUN, artifacts/export/RUN, artifacts/engine/RUN, data/curated/samples.csv
writes  reports/metrics/profile/RUN.json
"""

import argparse
from pathlib import Path

from pipeline.door import run_command
from pipeline.measure.profile import profile_run
from pipeline.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    params.run(name)
    engines = sorted((Path("artifacts/engine") / name).glob("*.engine"))
    profile_run(
        name,
        params.profile,
        params.evaluation.split,
        samples=Path("data/curated/samples.csv"),
        artifacts={
            "pytorch_eager": Path("artifacts/students") / name / "checkpoint.safetensors",
            "onnxruntime": Path("artifacts/export") / name / "model.onnx",
            **{_runtime(engine): engine for engine in engines},
        },
        metrics=Path("reports/metrics/profile") / f"{name}.json",
    )


def _runtime(engine: Path) -> str:
    """fp16-tensorrt_rtx-1.7-SM86.engine -> tensorrt_rtx_fp16."""
    precision, backend = engine.stem.split("-")[:2]
    return f"{backend}_{precision}"


if __name__ == "__main__":
    run_command(main)
