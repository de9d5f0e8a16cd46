"""Stage pretrain: a backbone learns to see before any student learns the dataset, from a classifier and without labels.

reads   data/prepared/classes.json, data/curated/samples.csv and the images that it names
writes  artifacts/pretraining/backbone.safetensors, artifacts/pretraining/training.csv; nothing where
        pretraining.iterations is 0
"""

from pathlib import Path

from pipeline.door import run_command
from pipeline.params import load_params
from pipeline.pretraining.pretrain import pretrain


def main() -> None:
    params = load_params()
    pretrain(
        pretraining=params.pretraining,
        training=params.training,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        scratch=Path("scratch"),
        out=Path("artifacts/pretraining"),
    )


if __name__ == "__main__":
    run_command(main)
