"""Stage prepare: a raw dataset becomes one sample list and one class table.

reads   dataset.source of params.yaml
writes  data/prepared/samples.csv, data/prepared/classes.json; for drawn scenes their images, data/prepared/raw
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.preparation.prepare import prepare_dataset
from pipeline.stage_table import load_stage


def main() -> None:
    stage = load_stage("prepare")
    prepare_dataset(**stage.settings, scratch=Path("scratch"), out=Path("data/prepared"))


if __name__ == "__main__":
    run_command(main)
