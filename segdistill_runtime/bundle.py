"""Verify a bundle and load its model with the fastest runtime on this machine.

from segdistill_runtime.bundle import open_bundle
segmenter = open_bundle(Path("."))
labels = segmenter.segment(image)  # from uint8 (h, w, 3) RGB of any size to uint8 train ids (h, w)
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from segdistill_runtime.contract import AGAIN, CONTRACT, Contract, RuntimeFile, read_contract
from segdistill_runtime.engine_file import engines_folder, read_engine
from segdistill_runtime.errors import FileRefused, InputRefused, NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import Reader, load_target, read_file
from segdistill_runtime.verify import Bundle, add_key_argument, verify

AUTO = "auto"


class Segmenter:
    """One loaded model of a bundle, with its contract."""

    def __init__(self, contract: Contract, file: RuntimeFile, runner: Runner):
        if runner.shape != contract.shape:
            raise FileRefused(f"{file.model} takes {runner.shape}, but {CONTRACT} says {contract.shape}: {AGAIN}")
        self.contract, self.file, self.runner = contract, file, runner

    def labels(self, images: np.ndarray) -> np.ndarray:
        """Return train ids, uint8 (n, H, W), of images of the graph's size, uint8 (n, H, W, 3) RGB."""
        return self.runner.run(images)

    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return train ids, uint8 (h, w), of an image of any size, uint8 (h, w, 3) RGB."""
        if image.ndim != 3:
            raise InputRefused(f"an image must have shape (h, w, 3), but this one has {image.shape}")
        return self.contract.resizing.segment(self.labels, [image])[0]


def open_bundle(path: Path, public_key: Path | None = None, runtime: str = AUTO, threads: int = 0) -> Segmenter:
    """Verify a bundle and load its model with the fastest runtime that works here, or with the given one.

    Args:
        runtime: auto, or a key of TARGETS.
        threads: 0 lets the runtime choose.
    """
    bundle, contract = verify_bundle(path, public_key)
    return open_model(bundle, contract, runtime, threads)


def verify_bundle(path: Path, public_key: Path | None) -> tuple[Bundle, Contract]:
    """Compare all files with the manifest and print the result to stderr; raises BundleRefused for a rejected run."""
    bundle = verify(path, public_key)
    print(bundle.summary(), file=sys.stderr)
    bundle.require_model()
    return bundle, read_contract(bundle.read(CONTRACT))


def open_model(bundle: Bundle, contract: Contract, runtime: str, threads: int) -> Segmenter:
    """Load one model of a verified bundle; `auto` selects the fastest runtime that works here.

    Faster runtimes that do not work are printed to stderr, with the reason.
    """
    if runtime != AUTO:
        return _open(bundle, contract, runtime, threads)
    for file in contract.runtimes:
        try:
            return _open(bundle, contract, file.runtime, threads)
        except NotAvailable as refusal:
            print(f"trying the next runtime: {refusal}", file=sys.stderr)
    raise NotAvailable(f"{contract.run}: none of its runtimes works here; run pip install -r requirements.txt")


def add_bundle_arguments(parser: argparse.ArgumentParser, auto: str) -> None:
    """Add the options that commands on a bundle share; `auto` is the help text for --runtime auto."""
    parser.add_argument("--bundle", type=Path, default=Path(), help="folder or archive.zip (default: this folder)")
    parser.add_argument("--runtime", choices=[AUTO, *TARGETS], default=AUTO, help=f"auto: {auto}")
    parser.add_argument("--threads", type=int, default=0, help="0 lets the runtime choose")
    add_key_argument(parser)


def _open(bundle: Bundle, contract: Contract, runtime: str, threads: int) -> Segmenter:
    target, read = load_target(runtime), bundle.read
    if target.suffix == ".engine":
        precision, name, read = _find_engine(bundle, contract, runtime)
        target = load_target(read_engine(name, read)[1].backend)
        file = RuntimeFile(runtime, precision, name, None)
    elif target.runs_files_of == runtime:
        file = contract.file_for(runtime)
    else:  # no decision used a variant's speed: use its fp32 file
        file = RuntimeFile(runtime, "fp32", target.sources["fp32"], None)
    return Segmenter(contract, file, target.open(file.model, read, threads))


def _find_engine(bundle: Bundle, contract: Contract, runtime: str) -> tuple[str, str, Reader]:
    """Return precision, file and reader of the engine to run: the last rebuild's choice, or the bundle's most exact."""
    folder = engines_folder(bundle.path)
    report = folder / "rebuild.json"
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
        files = {entry["precision"]: str(folder / entry["file"]) for entry in content["engines"]}
        if content["manifest_sha256"] == bundle.manifest_sha256 and (best := content["default"]) in files:
            return best, files[best], read_file
    except FileNotFoundError:
        pass  # rebuild_on_target.sh was not run here
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileRefused(
            f"{report} cannot be read ({error!r}): run rebuild_on_target.sh again, or delete it"
        ) from error
    for precision in ("fp32", "fp16"):  # not int8: only a rebuild can decide whether to use it
        for name in bundle.files:
            if name.startswith(f"engines/{precision}-") and name.endswith(".engine"):
                return precision, name, bundle.read
    why = contract.why_not(load_target(runtime).decided_with)
    raise NotAvailable(
        f"{contract.run} has no engine ({why}): build one on this machine with `sh rebuild_on_target.sh`"
    )
