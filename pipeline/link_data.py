"""Link a dataset, and files of ImageNet weights, into the folder of a profile; nothing is copied.

The stages read the dataset in data/raw, and weights at the paths in params.yaml. A SHA-256 identifies each file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.data.files import sha256
from pipeline.errors import ArtifactError, DatasetError
from pipeline.params.tree import load_params, weight_files

DATA = Path("data/raw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="folder of the dataset; for CamVid, it has train/ trainannot/ ...")
    told = "ImageNet weights that params.yaml names: files in safetensors format, or folders of them"
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help=told)


def run(arguments: argparse.Namespace) -> None:
    if not arguments.data.is_dir():
        raise DatasetError(f"{arguments.data} is not a folder; name the folder of the dataset")
    targets = {DATA: arguments.data}
    if arguments.weights:
        targets |= find_weights(weight_files(load_params()), arguments.weights)
    for link, target in targets.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.exists() and not link.is_symlink():
            raise DatasetError(f"{link} exists and is not a link; move it away first")
        link.unlink(missing_ok=True)
        link.symlink_to(target.absolute())
        print(f"{link} -> {target.absolute()}")


def find_weights(wanted: dict[Path, str], places: Sequence[Path]) -> dict[Path, Path]:
    """Return for each path of `wanted` the file with its SHA-256, among the files and folders of `places`.

    Raises ArtifactError if a file is missing, or if `wanted` is empty.
    """
    if not wanted:
        raise ArtifactError("--weights: no network of params.yaml has weights.source `file`; set it or omit --weights")
    files = [file for place in places for file in (sorted(place.glob("*.safetensors")) if place.is_dir() else [place])]
    found = {sha256(file): file for file in files if file.is_file()}
    if missing := {path: digest for path, digest in wanted.items() if digest not in found}:
        nothing = f"none in {', '.join(map(str, places))}"
        looked = "\n  ".join(f"{file}: {digest}" for digest, file in found.items()) or nothing
        lacking = "\n  ".join(f"{path}: {digest}" for path, digest in missing.items())
        raise ArtifactError(
            f"--weights: no file has the SHA-256 that params.yaml expects for\n  {lacking}\nfiles found:\n  {looked}"
        )
    return {path: found[digest] for path, digest in wanted.items()}
