"""Stage benchmark: latency of a run's checkpoint, ONNX files and engines on the runtimes of this machine, in turns.

reads   artifacts/{students,export,quantize,engine}/RUN, reports/metrics/{export,quantize,engine}/RUN.json,
        data/curated/samples.csv
writes  reports/metrics/benchmark/RUN.json
"""

from pathlib import Path

from pipeline.cli import run_argument, run_command
from pipeline.measure.benchmark import benchmark_run
from pipeline.measure.cases import RunFiles
from pipeline.stage_table import load_stage


def main() -> None:
    name = run_argument(__doc__)
    stage = load_stage("benchmark", name)
    artifacts, metrics = Path("artifacts"), Path("reports/metrics")
    benchmark_run(
        name=name,
        **stage.settings,
        files=RunFiles(
            checkpoint=artifacts / "students" / name / "checkpoint.safetensors",
            export=artifacts / "export" / name,
            quantize=artifacts / "quantize" / name,
            engine=artifacts / "engine" / name,
            export_metrics=metrics / "export" / f"{name}.json",
            quantize_metrics=metrics / "quantize" / f"{name}.json",
            engine_metrics=metrics / "engine" / f"{name}.json",
        ),
        samples=Path("data/curated/samples.csv"),
        metrics=metrics / "benchmark" / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
