"""A bundle that is ready to segment images: verified, and its model loaded.

from segmenter import open_bundle
segmenter = open_bundle(Path("."), public_key=None)
labels = segmenter.segment(image)  # uint8 (h, w, 3) RGB of any size to uint8 train ids (h, w)
"""

import json
import sys
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from on_target.cuda_runtime import CudaRuntime, CudaUnavailable
from on_target.engine_file import EngineRefused, read_engine, require_architecture, require_version
from on_target.session import Session
from runner.contract import (
    AUTO,
    TENSORRT,
    Choice,
    Contract,
    ContractRefused,
    InputRefused,
    RuntimeMissing,
    RuntimeRefused,
    read_contract,
    require_input,
    why_not,
)
from runner.images import ImageRefused, resize, resize_labels
from runner.runtimes import Reader, Runtime, choose, open_runtime
from verify import MANIFEST, BundleRefused, Verification, verified_bytes, verify

REFUSALS = (BundleRefused, ContractRefused, InputRefused, RuntimeRefused, ImageRefused, EngineRefused, CudaUnavailable)
"""What a user can cause and mend: one message, no traceback."""
NOT_HERE = (RuntimeMissing, EngineRefused, CudaUnavailable)
"""Reasons of this machine against a runtime: another one may do."""


class OpenedBundle(NamedTuple):
    """A bundle whose files were all compared with its manifest."""

    folder: Path
    verification: Verification
    contract: Contract
    read: Reader


class Segmenter:
    """One model of a bundle."""

    def __init__(self, contract: Contract, choice: Choice, runtime: Runtime):
        self.contract = contract
        self.choice = choice
        self.runtime = runtime

    def labels(self, batch: np.ndarray) -> np.ndarray:
        """Train ids, uint8 (1, H, W), of one image of the graph's size, uint8 (1, H, W, 3) RGB.

        Raises:
            InputRefused: another type, layout, batch or size.
        """
        require_input(batch, self.contract)
        return self.runtime.run(np.ascontiguousarray(batch))

    def segment(self, image: np.ndarray) -> np.ndarray:
        """Train ids, uint8 (h, w), of an image of any size, uint8 (h, w, 3) RGB."""
        if image.ndim != 3:
            raise InputRefused(f"an image has shape (h, w, 3), this has {image.shape}")
        labels = self.labels(resize(image, self.contract.height, self.contract.width)[None])[0]
        return resize_labels(labels, *image.shape[:2])


def verify_bundle(folder: Path, public_key: Path | None) -> OpenedBundle:
    """Compare all files with the manifest and say on the error stream what was found.

    Raises:
        BundleRefused: something is wrong, or the run was rejected and holds no model.
    """
    verification = verify(folder, public_key)
    print(verification.in_words(), file=sys.stderr)
    if verification.status == "rejected":
        raise BundleRefused(f"{verification.run} was REJECTED and holds no model: {'; '.join(verification.reasons)}")
    read = partial(verified_bytes, folder, verification)
    return OpenedBundle(folder, verification, read_contract(read("preprocessing.json")), read)


def open_bundle(folder: Path, public_key: Path | None, runtime: str = AUTO, threads: int = 0) -> Segmenter:
    """Verify a bundle and load the model that this machine runs best, or that of the runtime asked for.

    Args:
        runtime: auto, onnxruntime, onnxruntime_cuda, openvino or tensorrt.
        threads: 0 lets the runtime choose.

    Raises:
        BundleRefused: something is wrong with a file.
        RuntimeRefused: the runtime is not here, or nothing ships for it.
    """
    return open_segmenter(verify_bundle(folder, public_key), runtime, threads)


def open_segmenter(bundle: OpenedBundle, runtime: str, threads: int) -> Segmenter:
    """Load one model of a bundle that was verified; with `auto` the fastest that can be used here.

    What is faster and cannot be used is named on the error stream.
    """
    if runtime != AUTO:
        return _open(bundle, runtime, threads)
    for choice in bundle.contract.runtimes:
        try:
            return _open(bundle, choice.runtime, threads)
        except NOT_HERE as refusal:
            print(f"{choice.runtime} is not used: {refusal}", file=sys.stderr)
    raise RuntimeRefused(f"{bundle.contract.run}: none of its runtimes is here: pip install -r requirements.txt")


def _open(bundle: OpenedBundle, runtime: str, threads: int) -> Segmenter:
    if runtime == TENSORRT:
        engine, precision = find_engine(bundle)
        choice = Choice(TENSORRT, precision, engine.name, None)
        return Segmenter(bundle.contract, choice, open_engine(bundle.contract, engine))
    choice = choose(bundle.contract, runtime)
    return Segmenter(bundle.contract, choice, open_runtime(bundle.contract, choice, bundle.read, threads))


def find_engine(bundle: OpenedBundle) -> tuple[Path, str]:
    """The engine to run and its precision: what a rebuild on this machine chose, or else the bundle's most exact one.

    Raises:
        RuntimeMissing: there is no engine.
    """
    rebuilt = _rebuilt_engine(bundle)
    if rebuilt is not None:
        return rebuilt
    names = [name for name in bundle.verification.files if name.startswith("engines/") and name.endswith(".engine")]
    for precision in ("fp32", "fp16"):  # whether int8 may be used, only a rebuild can say
        for name in names:
            if name.startswith(f"engines/{precision}-"):
                return bundle.folder / name, precision
    raise RuntimeMissing(
        f"{bundle.contract.run} has no engine ({why_not(bundle.contract, TENSORRT)}): build one on this machine with "
        f"`sh rebuild_on_target.sh`"
    )


def _rebuilt_engine(bundle: OpenedBundle) -> tuple[Path, str] | None:
    """What rebuild_on_target.sh chose for this very bundle, if it was run here."""
    folder = bundle.folder.with_name(f"{bundle.folder.name}-engines")
    report = folder / "rebuild.json"
    if not report.is_file():
        return None
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
        of_this = content["manifest_sha256"] == sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest()
        kept = {
            entry["precision"]: folder / entry["file"] for entry in content["engines"] if entry["verdict"] == "kept"
        }
        best = content["default"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeRefused(
            f"{report} cannot be read ({error!r}): run rebuild_on_target.sh again, or delete it"
        ) from error
    return (kept[best], best) if of_this and best in kept else None


def open_engine(contract: Contract, engine: Path) -> Runtime:
    """Load an engine, after its description said that it is for this version of TensorRT and this GPU.

    Raises:
        EngineRefused: damaged, or for another version or GPU; says how to build it again.
        RuntimeMissing: its package is not installed.
        CudaUnavailable: there is no GPU.
    """
    plan, description = read_engine(engine)
    try:
        trt = import_module(description.backend)
    except (ImportError, OSError) as error:
        raise RuntimeMissing(f"{engine.name} needs the package {description.backend}: {error}") from error
    require_version(description, trt.__version__)
    cuda = CudaRuntime()
    require_architecture(description, cuda.capability())
    return Session(trt, cuda, plan, description, contract.input, contract.output)
