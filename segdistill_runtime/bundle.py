"""Open a bundle's model: verified, and loaded with the runtime that is fastest here.

from segdistill_runtime.bundle import open_bundle
segmenter = open_bundle(Path("."))
labels = segmenter.segment(image)  # uint8 (h, w, 3) RGB of any size to uint8 train ids (h, w)
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from segdistill_runtime.contract import CONTRACT, Contract, RuntimeFile, read_contract
from segdistill_runtime.engine_file import engine_backend, engines_folder
from segdistill_runtime.engine_target import ENGINE_SOURCES
from segdistill_runtime.errors import FileRefused, InputRefused, NotAvailable
from segdistill_runtime.images import resize, resize_labels
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import Reader, load_target, read_file
from segdistill_runtime.verify import Bundle, add_key_argument, verify

AUTO = "auto"


class Segmenter:
    """One model of a bundle."""

    def __init__(self, contract: Contract, file: RuntimeFile, runner: Runner):
        if tuple(runner.shape) != contract.shape:
            raise FileRefused(
                f"{file.model} takes {runner.shape}, {CONTRACT} says {contract.shape}: not the same model"
            )
        self.contract, self.file, self.runner = contract, file, runner

    def labels(self, images: np.ndarray) -> np.ndarray:
        """Return train ids, uint8 (n, H, W), of images of the graph's size, uint8 (n, H, W, 3) RGB.

        Raises:
            InputRefused: another type, layout or size.
        """
        return self.runner.run(images)

    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return train ids, uint8 (h, w), of an image of any size, uint8 (h, w, 3) RGB."""
        if image.ndim != 3:
            raise InputRefused(f"an image has shape (h, w, 3), this has {image.shape}")
        labels = self.labels(resize(image, self.contract.height, self.contract.width)[None])[0]
        return resize_labels(labels, *image.shape[:2])


def open_bundle(path: Path, public_key: Path | None = None, runtime: str = AUTO, threads: int = 0) -> Segmenter:
    """Verify a bundle and load the model that this machine runs best, or that of one runtime.

    Args:
        runtime: auto, or a key of TARGETS.
        threads: 0 lets the runtime choose.

    Raises:
        BundleRefused: something is wrong with a file.
        NotAvailable: the runtime is not here, or nothing was released for it.
    """
    bundle, contract = verify_bundle(path, public_key)
    return open_model(bundle, contract, runtime, threads)


def verify_bundle(path: Path, public_key: Path | None) -> tuple[Bundle, Contract]:
    """Compare all files with the manifest and say on the error stream what was found.

    Raises:
        BundleRefused: something is wrong, or the run was rejected and holds no model.
    """
    bundle = verify(path, public_key)
    print(bundle.summary(), file=sys.stderr)
    bundle.require_model()
    return bundle, read_contract(bundle.read(CONTRACT))


def open_model(bundle: Bundle, contract: Contract, runtime: str, threads: int) -> Segmenter:
    """Load one model of a verified bundle; with `auto` the fastest that works here.

    What is faster and does not work is named on the error stream.
    """
    if runtime != AUTO:
        return _open(bundle, contract, runtime, threads)
    for file in contract.runtimes:
        try:
            return _open(bundle, contract, file.runtime, threads)
        except NotAvailable as refusal:
            print(f"{file.runtime} is not used: {refusal}", file=sys.stderr)
    raise NotAvailable(f"{contract.run}: none of its runtimes is here: pip install -r requirements.txt")


def add_bundle_arguments(parser: argparse.ArgumentParser, auto: str) -> None:
    """Add the options that commands on a bundle share; `auto` says what --runtime does by default."""
    parser.add_argument("--bundle", type=Path, default=Path(), help="folder or archive.zip (default: this folder)")
    parser.add_argument("--runtime", choices=[AUTO, *TARGETS], default=AUTO, help=f"auto: {auto}")
    parser.add_argument("--threads", type=int, default=0, help="0 lets the runtime choose")
    add_key_argument(parser)


def _open(bundle: Bundle, contract: Contract, runtime: str, threads: int) -> Segmenter:
    target = load_target(runtime)
    if target.suffix == ".engine":
        file, read, precision = _find_engine(bundle, contract, runtime)
        found = RuntimeFile(runtime, precision, file, None)
        target = load_target(engine_backend(file, read))
        return Segmenter(contract, found, target.open(file, read, threads))
    if target.runs_files_of == runtime:
        found = contract.file_for(runtime)
    else:  # how fast a variant is was no part of any decision
        found = RuntimeFile(runtime, "fp32", target.sources["fp32"], None)
    return Segmenter(contract, found, target.open(found.model, bundle.read, threads))


def _find_engine(bundle: Bundle, contract: Contract, runtime: str) -> tuple[str, Reader, str]:
    """Return the engine to run, its reader and its precision: a rebuild's choice, or the bundle's most exact one.

    Raises:
        NotAvailable: there is no engine.
    """
    rebuilt = _rebuilt_engine(bundle)
    if rebuilt is not None:
        return rebuilt
    for precision in list(ENGINE_SOURCES)[:2]:  # whether int8 may be used, only a rebuild can say
        for name in bundle.files:
            if name.startswith(f"engines/{precision}-") and name.endswith(".engine"):
                return name, bundle.read, precision
    why = contract.why_not(load_target(runtime).decided_with)
    raise NotAvailable(
        f"{contract.run} has no engine ({why}): build one on this machine with `sh rebuild_on_target.sh`"
    )


def _rebuilt_engine(bundle: Bundle) -> tuple[str, Reader, str] | None:
    """Return what rebuild_on_target.sh chose for this very bundle, if it was run here."""
    folder = engines_folder(bundle.path)
    report = folder / "rebuild.json"
    if not report.is_file():
        return None
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
        of_this = content["manifest_sha256"] == bundle.manifest_sha256
        files = {entry["precision"]: str(folder / entry["file"]) for entry in content["engines"]}
        best = content["default"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileRefused(
            f"{report} cannot be read ({error!r}): run rebuild_on_target.sh again, or delete it"
        ) from error
    return (files[best], read_file, best) if of_this and best in files else None
