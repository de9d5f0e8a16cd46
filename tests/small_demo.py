"""Prove that the embedded default runs through: python -m tests.small_demo

A small copy of it, with all its runs, in a temporary folder: `dvc repro`, a prediction and the self-test of every
bundle, and a second `dvc repro` that has nothing to do.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from pipeline.code_digest import ROOT
from pipeline.params.tree import load_params
from tests.small_profile import repro, run, write_small_profile


def main() -> None:
    runs = list(load_params(ROOT / "params.yaml").runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "profile"
        write_small_profile(folder, runs)
        first = _timed(folder)
        again = _timed(folder)
        summary = json.loads((folder / "reports/summary.json").read_text())
        if [entry["run"] for entry in summary["runs"]] != runs:
            sys.exit(f"summary.json does not hold the runs {runs}")
        image = next((folder / "data/prepared/raw/images").glob("test_s*.png"))
        for entry in runs:
            bundle = folder / "artifacts/release" / entry
            for command in (["predict.py", str(image)], ["self_test.py"]):
                done = run([sys.executable, "-I", str(bundle / command[0]), *command[1:]], folder)
                if done.returncode:
                    sys.exit(f"{command[0]} of bundle {entry} fails: {done.stdout}{done.stderr}")
    print(f"the small demo ran through in {first:.0f} s; without a change {again:.1f} s")
    print(f"{len(runs)} bundles predict and test themselves")


def _timed(folder: Path) -> float:
    start = time.monotonic()
    done = repro(folder)
    if done.returncode:
        sys.exit(done.stdout[-4000:] + done.stderr[-4000:])
    return time.monotonic() - start


if __name__ == "__main__":
    main()
