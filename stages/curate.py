"""Stage curate: decide which samples may be used, with a reason for each that may not.

reads   data/prepared, the images and masks that its sample list names, review.csv
writes  data/curated/samples.csv (what to use), data/curated/decisions.csv (every sample, with reasons),
        data/curated/statistics.json, reports/curation.md, reports/curation
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.curation.curate import curate_dataset
from pipeline.stage_table import load_stage


def main() -> None:
    stage = load_stage("curate")
    curate_dataset(
        **stage.settings,
        prepared=Path("data/prepared"),
        review=Path("review.csv"),
        scratch=Path("scratch"),
        out=Path("data/curated"),
        report=Path("reports/curation.md"),
        pictures=Path("reports/curation"),
    )


if __name__ == "__main__":
    run_command(main)
