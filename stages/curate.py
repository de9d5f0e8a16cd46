"""Stage curate: decide which samples may be used, with a reason for each that may not.

reads   data/prepared and the images that its sample list names
writes  data/curated/samples.csv, data/curated/rejected.csv, data/curated/statistics.json, reports/curation.md
"""

from pathlib import Path

from pipeline.curation.curate import curate_dataset
from pipeline.door import run_command
from pipeline.params import load_params


def main() -> None:
    curate_dataset(
        curation=load_params().curation,
        prepared=Path("data/prepared"),
        out=Path("data/curated"),
        report=Path("reports/curation.md"),
    )


if __name__ == "__main__":
    run_command(main)
