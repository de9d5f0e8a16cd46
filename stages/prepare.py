"""Stage prepare: a raw dataset becomes one sample list and one class table.

reads   dataset.source of params.yaml
writes  data/prepared/samples.csv, data/prepared/classes.json; for streets the images, data/prepared/raw
"""

from pathlib import Path

from pipeline.door import run_command
from pipeline.params import load_params
from pipeline.preparation.prepare import prepare_dataset


def main() -> None:
    prepare_dataset(dataset=load_params().dataset, scratch=Path("scratch"), out=Path("data/prepared"))


if __name__ == "__main__":
    run_command(main)
