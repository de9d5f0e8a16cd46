"""A small copy of the embedded default in a folder of its own, run by the real command line."""

import compileall
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.code_digest import PACKAGES, ROOT
from pipeline.dvc_file import dvc_file

SMALL: dict[str, Any] = {
    "dataset": {"options": {"height": 64, "width": 96, "train_sequences": 3, "val_sequences": 1, "test_sequences": 2,
                            "frames_per_sequence": 3}},
    "teacher": {"iterations": 8, "network": {"backbone": "resnet10t", "output_stride": 16, "head_channels": 16,
                                             "auxiliary_channels": 16}},
    "training": {"crop_height": 48, "crop_width": 64, "batch_size": 4, "log_every": 2,
                 "checkpoint_every": 4, "workers": 0},
    "export": {"height": 64, "width": 96, "logit_images": 2},
    # One thread: what else runs on the machine would make two wait for each other, ten times as long as they compute.
    "benchmark": {"threads": 1, "warmup_calls": 2, "warmup_s": 0.0, "calls": 8, "min_s": 0.0, "max_s": 1.0, "rounds": 2,
                  "images": 2},
    "quantization": {"calibration_images": 8, "judged_images": 3, "fine_tuning": {"iterations": 2}},
}  # fmt: skip
RUN: dict[str, Any] = {"iterations": 6, "network": {"output_stride": 16, "head_channels": 16, "auxiliary_channels": 16}}


def write_small_profile(folder: Path, runs: list[str], /, **changes: Any) -> None:
    """Write params.yaml, dvc.yaml and review.csv: the default's, with the numbers of SMALL and then `changes`."""
    folder.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # runs keep their order
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["dataset"]["source"] = os.path.relpath(ROOT / params["dataset"]["source"], folder)
    params["runs"] = {name: params["runs"][name] for name in runs}
    small = {**SMALL, "dataset": {} if "adapter" in changes.get("dataset", {}) else SMALL["dataset"]}
    if not small["dataset"]:
        del params["dataset"]["options"]
    for section in (small, {"recipes": dict.fromkeys(params["recipes"], RUN)}, changes):
        merge(params, section)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    (folder / "dvc.yaml").write_text(dvc_file(folder))
    (folder / "review.csv").write_bytes((ROOT / "review.csv").read_bytes())
    # The code lies outside this DVC repository, so .dvcignore does not reach it: bytecode that a stage writes there
    # would be a changed dependency of `resolve`.
    for package in PACKAGES:
        compileall.compile_dir(ROOT / package, quiet=1)


def merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def environment() -> dict[str, str]:
    """The virtual environment's commands first on the path, as `make` sets it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "true"}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def repro(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """`dvc init` if needed, then `dvc repro`."""
    _init(folder)
    return run(["dvc", "repro", *targets], folder)


def repro_side_by_side(folder: Path) -> subprocess.CompletedProcess[str]:
    """The same by `python -m pipeline repro`, two runs at a time."""
    _init(folder)
    return run([sys.executable, "-m", "pipeline", "repro", "--jobs", "2"], folder)


def _init(folder: Path) -> None:
    if not (folder / ".dvc").exists():
        run(["dvc", "init", "--no-scm", "--quiet"], folder)
