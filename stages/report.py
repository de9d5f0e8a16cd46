"""Stage report: the files of all other stages become one page.

reads   data/prepared/classes.json, data/curated, reports/metrics,
        artifacts/{teacher,students,evaluation,inspection,release}
writes  reports/index.html, reports/summary.json, reports/pictures/
"""

from pathlib import Path

from pipeline.door import run_command
from pipeline.params import load_params
from pipeline.reporting.material import Folders
from pipeline.reporting.report import write_report


def main() -> None:
    params = load_params()
    write_report(
        params.report,
        params.runs,
        split=params.evaluation.split,
        view_samples=params.inspection.view_samples,
        folders=Folders(
            prepared=Path("data/prepared"),
            curated=Path("data/curated"),
            teacher=Path("artifacts/teacher"),
            students=Path("artifacts/students"),
            evaluation=Path("artifacts/evaluation"),
            inspection=Path("artifacts/inspection"),
            release=Path("artifacts/release"),
            metrics=Path("reports/metrics"),
        ),
        out=Path("reports"),
    )


if __name__ == "__main__":
    run_command(main)
