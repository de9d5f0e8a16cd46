"""Link a dataset, and backbone weights, into the folder of a profile.

The stages read data/raw and data/weights.safetensors there. Nothing is copied.
"""

import argparse
from pathlib import Path

from pipeline.errors import DatasetError, ParamsError

DATA, WEIGHTS = Path("data/raw"), Path("data/weights.safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="folder of the dataset; for CamVid the one with train/ trainannot/ ...")
    parser.add_argument("--weights", type=Path, help="ImageNet weights in safetensors, for the profiles that read them")


def run(arguments: argparse.Namespace) -> None:
    if not arguments.data.is_dir():
        raise DatasetError(f"{arguments.data} is no folder; name the one that holds the dataset")
    if arguments.weights and not arguments.weights.is_file():
        raise ParamsError(f"{arguments.weights} is no file; --weights names a file in safetensors format")
    for link, target in ((DATA, arguments.data), (WEIGHTS, arguments.weights)):
        if target:
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.exists() and not link.is_symlink():
                raise DatasetError(f"{link} exists and is no link; move it away first")
            link.unlink(missing_ok=True)
            link.symlink_to(target.absolute())
            print(f"{link} -> {target.absolute()}")
