"""Measure what a bundle costs its receiver: disk, and seconds until the first answer.

Copies the bundle to an empty folder, and installs only its requirements.txt in a new environment. Then runs predict.py
and self_test.py in separate processes, one after the other, as a receiver would.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import begun
from pipeline.data.files import write_json
from pipeline.errors import SegdistillError
from segdistill_runtime.verify import verify


class BundleFailed(SegdistillError):
    """A bundle that cannot be installed or run here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="for example artifacts/release/pspnet_r18_gdd")
    parser.add_argument("--extra", nargs="*", default=[], help="further packages, for example openvino")
    parser.add_argument("--python", type=Path, help="Python of an existing environment: nothing is installed")
    parser.add_argument("--repeats", type=int, default=7, help="timed starts of each script")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/bundle.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        shutil.copytree(arguments.bundle, bundle)
        python, installed = arguments.python, None
        if python is None:
            python, installed = install(bundle / "requirements.txt", arguments.extra, Path(folder) / "environment")
        predict = ["predict.py", "golden/image.png", "--output", f"{folder}/overlay.png"]
        record = {
            "run": verify(bundle, None).run,
            "bundle_mb": _megabytes(bundle),
            "installed": installed,
            "predict_s": timed(python, bundle, predict, arguments.repeats),
            "self_test_s": timed(python, bundle, ["self_test.py"], arguments.repeats),
        }
    write_json(arguments.out, {**begun(), **record})
    size = "" if installed is None else f"{installed['mb']:.0f} MB installed, "
    medians = {name: statistics.median(record[name]) for name in ("predict_s", "self_test_s")}
    print(f"{size}first prediction {medians['predict_s']:.2f} s, self_test {medians['self_test_s']:.2f} s (medians)")
    print(f"wrote {arguments.out}")


def install(requirements: Path, extra: Sequence[str], environment: Path) -> tuple[Path, dict[str, Any]]:
    """Create an environment; returns its Python, its size in MB and its packages.

    Raises:
        BundleFailed: no package index can be reached, or a package is missing.
    """
    python = environment / "bin/python"
    _run(["uv", "venv", "--quiet", "--python", sys.executable, str(environment)])
    asked = ["--requirements", str(requirements), *extra]
    _run(["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *asked])
    packages = _run(["uv", "pip", "freeze", "--python", str(python)]).splitlines()
    return python, {"mb": _megabytes(environment), "packages": packages}


def timed(python: Path, bundle: Path, command: Sequence[str], repeats: int) -> list[float]:
    """Return the seconds from start to end of each process; the first one runs with the disk cache as it is.

    Raises:
        BundleFailed: a process ends with an error.
    """
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        _run([str(python), "-I", *command], folder=bundle)
        seconds.append(round(time.perf_counter() - start, 3))
    return seconds


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BundleFailed(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _megabytes(folder: Path) -> float:
    """Return the size of all files; hard links count once."""
    sizes = {(s.st_dev, s.st_ino): s.st_size for path in folder.rglob("*") if (s := path.lstat())}
    return round(sum(sizes.values()) / 1e6, 1)
