"""Stage prepare: a raw dataset becomes one sample list, one class table and masks of train ids.

reads   dataset.source of params.yaml (for streets: draws the images)
writes  data/prepared/samples.csv, data/prepared/classes.json, data/prepared/masks
"""

from pathlib import Path

from pipeline.door import run_command
from pipeline.params import load_params
from pipeline.preparation.prepare import prepare_dataset


def main() -> None:
    prepare_dataset(dataset=load_params().dataset, out=Path("data/prepared"))


if __name__ == "__main__":
    run_command(main)
