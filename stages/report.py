"""Stage report: the files of all other stages become one page.

reads   data/prepared/classes.json, data/curated, reports/metrics,
        artifacts/{teacher,students,evaluation,inspection,release}
writes  reports/index.html, reports/summary.json, reports/pictures/
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.reporting.inputs import Folders
from pipeline.reporting.report import write_report
from pipeline.stage_table import load_stage


def main() -> None:
    stage = load_stage("report")
    write_report(
        **stage.settings,
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
