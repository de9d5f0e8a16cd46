"""Stage report: turn the results of all other stages into one page.

reads   data/prepared/classes.json, data/curated, reports/metrics,
        artifacts/{teacher,students,evaluation,inspection,release}
writes  reports/index.html, reports/summary.json, reports/pictures/
"""

from pipeline.reporting.inputs import Folders
from pipeline.reporting.report import write_report
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("report", write_report, __doc__, folders=Folders)
