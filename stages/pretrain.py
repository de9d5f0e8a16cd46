"""Stage pretrain: a backbone imitates an ImageNet classifier on images without labels.

reads   data/prepared/classes.json, data/curated/samples.csv and the images that it names
writes  artifacts/pretraining/backbone.safetensors, artifacts/pretraining/training.csv
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.pretraining.pretrain import pretrain
from pipeline.stage_table import load_stage


def main() -> None:
    stage = load_stage("pretrain")
    pretrain(
        **stage.settings,
        code=stage.code_digest,
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        scratch=Path("scratch"),
        out=Path("artifacts/pretraining"),
    )


if __name__ == "__main__":
    run_command(main)
