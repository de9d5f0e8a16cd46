"""Time `dvc repro curate`: for new images, for the same images again, and for 100 more images.

Generates the images: random patches as JPEG with masks as PNG, all different.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.record import begun
from benchmarks.train import ROOT
from pipeline.data.files import write_json
from pipeline.dvc_file import dvc_file

HEIGHT, WIDTH = 240, 320
ADDED = 100
CLASSES = """\
classes:
  - {name: low, color: [90, 90, 90], ids: [0]}
  - {name: high, color: [200, 60, 60], ids: [1]}
void: [255]
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, nargs="*", default=[1_000, 5_000, 25_000], help="images in each case")
    parser.add_argument("--folder", type=Path, help="folder for the images (default: the system's temporary folder)")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/curation.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    record: dict[str, Any] = {**begun(), "image": [HEIGHT, WIDTH], "added": ADDED, "cases": []}
    print(f"{'images':>8} {'first':>9} {'DVC alone':>10} {'unchanged':>10} {f'{ADDED} more':>9} {'without DVC':>12}")
    for count in arguments.images:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            row = _case(Path(folder), count)
        record["cases"].append(row)
        print(
            f"{count:8} {row['first_s']:8.1f}s {row['nothing_changed_s']:9.1f}s {row['again_s']:9.1f}s "
            f"{row['more_s']:8.1f}s {row['again_without_dvc_s']:11.1f}s",
            flush=True,
        )
        write_json(arguments.out, record)
    print(f"wrote {arguments.out}")


def _case(folder: Path, count: int) -> dict[str, Any]:
    """Return the seconds of each command in a profile of `count` images."""
    _draw(folder / "raw", 0, count)
    _set_up(folder)
    repro = ["dvc", "repro", "--quiet", "curate"]
    row: dict[str, Any] = {"count": count, "first_s": _timed(folder, repro)}
    row["nothing_changed_s"] = _timed(folder, repro)
    row["again_s"] = _timed(folder, [*repro, "--force"])
    row["again_without_dvc_s"] = sum(_timed(folder, ["python", "-m", f"stages.{s}"]) for s in ("prepare", "curate"))
    _draw(folder / "raw", count, ADDED)
    row["more_s"] = _timed(folder, repro)
    tracked = [path for path in (folder / "data").rglob("*") if path.is_file()]
    row["files_dvc_keeps"] = len(tracked)
    row["store_bytes"] = sum(path.stat().st_size for path in (folder / "scratch").glob("*.sqlite"))
    return row


def _set_up(folder: Path) -> None:
    """Create a profile that uses the code of this repository."""
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["dataset"] = {"adapter": "folder", "source": "raw"}
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    shutil.copy(ROOT / "review.csv", folder)
    (folder / "dvc.yaml").write_text(dvc_file(folder))
    _timed(folder, ["dvc", "init", "--no-scm", "--quiet"])


def _timed(folder: Path, command: list[str]) -> float:
    start = time.perf_counter()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - start


def _draw(folder: Path, first: int, count: int) -> None:
    """Write `count` images with their masks, numbered from `first`; a tenth each for val and test."""
    folder.mkdir(exist_ok=True)
    (folder / "classes.yaml").write_text(CLASSES)
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        split = {0: "val", 1: "test"}.get(number % 10, "train")
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        mask = (image[..., 1] > 128).astype(np.uint8)
        for kind, picture, suffix in (("images", image, "jpg"), ("masks", mask, "png")):
            file = folder / kind / split / f"{number:06}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file, quality=90)
