"""Stage report: the files of all other stages become one page.

reads   data/prepared/classes.json, data/curated, reports/metrics,
        artifacts/{teacher,students,evaluation,inspection,release}
writes  reports/index.html, reports/summary.json, reports/pictures/
"""

from dataclasses import fields
from typing import Any

from pipeline.reporting.inputs import Folders
from pipeline.reporting.report import write_report
from pipeline.stage_table import run_stage


def main(**arguments: Any) -> None:
    folders = Folders(**{each.name: arguments.pop(each.name) for each in fields(Folders)})
    write_report(folders=folders, **arguments)


if __name__ == "__main__":
    run_stage("report", main, __doc__)
