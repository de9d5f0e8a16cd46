"""Build a bundle's engines on the machine that will run them: ./rebuild_on_target.sh [--public-key KEY.pub]

Checks the bundle first. Then builds an engine of every precision whose ONNX file is in the bundle. Runs the golden
image through each engine, compares the labels with the expected ones, and times it. A lower precision stays only if its
labels are right and it is fast enough. Writes all results to rebuild.json beside the engines.

Needs Python 3.10, numpy, pillow, and the Python package tensorrt (10 or later; part of JetPack on a Jetson) or
tensorrt_rtx. With --build-only and tensorrt_rtx it needs no GPU, and decides nothing.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segdistill_runtime.bundle import verify_bundle
from segdistill_runtime.contract import CONTRACT, Contract
from segdistill_runtime.cuda import CudaRuntime
from segdistill_runtime.engine_build import build_engine, build_machine
from segdistill_runtime.engine_file import description_path, engines_folder, read_engine, write_engine, write_whole
from segdistill_runtime.engine_target import ENGINE_SOURCES, EngineTarget, engine_targets
from segdistill_runtime.errors import BuildFailed, FileRefused, NotAvailable, Refused
from segdistill_runtime.images import decode
from segdistill_runtime.precision_choice import PRECISIONS, Candidate, choose_precisions
from segdistill_runtime.targets.target import read_file
from segdistill_runtime.verify import Bundle, add_key_argument

FORMAT = "segdistill-rebuild-3"
WARM_UP_CALLS = 50
CALLS, MIN_S = 200, 1.0


class Outcome(NamedTuple):
    """The result for one precision."""

    precision: str
    source_file: str
    status: str  # accepted, rejected, failed (a fault), undecided (not run here), absent (not in the bundle)
    reason: str
    source_sha256: str = ""
    file: str = ""
    bytes: int = 0
    sha256: str = ""
    build_s: float | None = None
    pixel_agreement: float | None = None  # with the golden labels of fp32, 0..1; None if it was not run
    calls: int = 0
    p50_ms: float | None = None  # host to host, the golden image, batch 1
    p90_ms: float | None = None
    as_released: bool | None = None  # whether it equals the bundle's own engine; None if there is none


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, default=Path(), help="folder or archive.zip (default: this folder)")
    parser.add_argument("--out", type=Path, help="folder of the engines (default: beside the bundle, NAME-engines)")
    add_key_argument(parser)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--build-only", action="store_true", help="build ahead of time, without a GPU; run nothing")
    parser.add_argument("--compute-capabilities", nargs="+", default=(), metavar="SM86", help="GPUs, with --build-only")


def run(arguments: argparse.Namespace) -> None:
    """Build, run, decide and write rebuild.json; exits with one line for each precision that failed."""
    bundle, contract = verify_bundle(arguments.bundle, arguments.public_key)
    out = arguments.out or engines_folder(arguments.bundle)
    if out.resolve().is_relative_to(arguments.bundle.resolve()):
        raise Refused(f"{out} is inside the bundle, which must stay unchanged; use another --out")
    target, gpus = choose_target(bundle, arguments.build_only, arguments.compute_capabilities)
    golden = None if arguments.build_only else read_golden(contract, bundle.read)
    out.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for precision in dict.fromkeys(arguments.precisions):
        print(f"{precision}: building with {target.name} {target.version()} ...", flush=True)
        outcomes.append(try_precision(bundle, contract, target, gpus, precision, golden, out))
    decided = decide(outcomes, contract)
    for outcome in decided:
        if outcome.file and outcome.status in ("rejected", "failed"):
            (out / outcome.file).unlink()
            description_path(out / outcome.file).unlink()
        print(f"{outcome.precision}: {outcome.status}{': ' if outcome.reason else ''}{outcome.reason}")
    model, best = Path("/proc/device-tree/model"), fastest(decided)  # on a Jetson: the name of the board
    report = {
        "format": FORMAT,
        "run": bundle.run,
        "manifest_sha256": bundle.manifest_sha256,
        "signature": bundle.signature,
        "backend": target.name,
        "version": target.version(),
        "compute_capabilities": gpus,
        "executed": golden is not None,
        "machine": {
            **build_machine(gpus[0] if golden is not None else None),
            "board": model.read_text().strip("\0\n") if model.is_file() else None,
        },
        "golden": {"image": contract.golden.image, "labels": contract.golden.labels["fp32"]},
        "limits": {"min_pixel_agreement": contract.golden.min_pixel_agreement, "min_speedup": contract.min_speedup},
        "default": best.precision if best else None,
        "engines": [outcome._asdict() for outcome in decided],
    }
    write_whole(out / "rebuild.json", (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    print(f"engines and rebuild.json are in {out}")
    faults = [f"{o.precision} failed: {o.reason}" for o in decided if o.status == "failed"]
    if not any(o.status in ("accepted", "undecided") for o in decided):
        faults.append("no usable engine was built; use the ONNX files of the bundle with ONNX Runtime")
    if faults:
        sys.exit("\n".join(faults))


def choose_target(bundle: Bundle, build_only: bool, capabilities: Sequence[str]) -> tuple[EngineTarget, list[str]]:
    """Return the target that builds, the full TensorRT if possible, and the GPUs to build for.

    Args:
        build_only: use no GPU; this needs a package that builds ahead of time.
        capabilities: GPUs such as SM86, only with `build_only`; if empty, those of the bundle's own engines.
    """
    targets = sorted(engine_targets(), key=lambda target: target.ahead_of_time)
    if build_only:
        targets = [target for target in targets if target.ahead_of_time]
        gpus = list(capabilities or _released_gpus(bundle, targets[0].name))
        if not gpus:
            raise NotAvailable("this bundle has no engines to take the GPUs from: add --compute-capabilities SM86")
    elif capabilities:
        raise NotAvailable("--compute-capabilities needs --build-only; without it, engines are for this GPU")
    else:
        try:
            gpus = [CudaRuntime().capability()]
        except NotAvailable as error:
            raise NotAvailable(f"there is no GPU to run engines on: {error}. Use --build-only") from error
    reasons = []
    for target in targets:
        try:
            target.load()
            return target, gpus
        except NotAvailable as error:
            reasons.append(str(error))
    raise NotAvailable(f"no package here can build an engine: {'; '.join(reasons)}")


def _released_gpus(bundle: Bundle, backend: str) -> list[str]:
    for name in bundle.files:
        if name.endswith(".engine") and f"-{backend}-" in name:
            return read_engine(name, bundle.read)[1].compute_capabilities
    return []


def try_precision(
    bundle: Bundle,
    contract: Contract,
    target: EngineTarget,
    gpus: list[str],
    precision: str,
    golden: tuple[np.ndarray, np.ndarray] | None,
    out: Path,
) -> Outcome:
    """Build one engine and run it on the golden image; without that image the engine stays undecided.

    An engine that cannot be built or run has failed. For int8 it is rejected instead, because some targets do not
    support int8.
    """
    source, start = ENGINE_SOURCES[precision], time.perf_counter()
    if source not in bundle.files:
        return Outcome(precision, source, "absent", f"{source} is not in this bundle; its card says why")
    if precision not in contract.golden.min_pixel_agreement:
        return Outcome(precision, source, "absent", f"{CONTRACT} has no limit for its pixel agreement")
    outcome = Outcome(precision, source, "undecided", "built, not run: --build-only", bundle.files[source].sha256)
    try:
        this_gpu = gpus[0] if golden is not None else None
        plan, description = build_engine(target, source, bundle.read(source), precision, gpus, this_gpu, out)
        engine = write_engine(out, plan, description)
        released = bundle.files.get(f"engines/{engine.name}")
        outcome = outcome._replace(
            file=engine.name,
            bytes=len(plan),
            sha256=description.engine_sha256,
            build_s=round(time.perf_counter() - start, 3),
            as_released=released and released.sha256 == description.engine_sha256,
        )
        if golden is None:
            return outcome
        images, expected = golden
        labels, times_ms = measure(target, engine, images, CALLS, MIN_S)
    except (BuildFailed, NotAvailable) as error:
        return outcome._replace(status="rejected" if precision == "int8" else "failed", reason=str(error))
    return outcome._replace(
        pixel_agreement=float((labels == expected).mean()),
        calls=len(times_ms),
        p50_ms=statistics.median(times_ms),
        p90_ms=statistics.quantiles(times_ms, n=10)[-1],
    )


def measure(
    target: EngineTarget, engine: Path, images: np.ndarray, calls: int, min_s: float
) -> tuple[np.ndarray, list[float]]:
    """Return an engine's labels and the milliseconds of each call, for at least `calls` calls and `min_s` seconds."""
    with target.open(str(engine), read_file, 0) as runner:
        for _ in range(WARM_UP_CALLS):
            runner.run(images)
        labels, times = runner.run(images), []
        start = time.perf_counter()
        while len(times) < calls or time.perf_counter() - start < min_s:
            before = time.perf_counter()
            runner.run(images)
            times.append(1000 * (time.perf_counter() - before))
    return labels, times


def decide(outcomes: Sequence[Outcome], contract: Contract) -> list[Outcome]:
    """Decide about each engine that was run. An engine with wrong labels has failed; for int8 it is rejected."""
    decided = {o.precision: o for o in sorted(outcomes, key=lambda outcome: PRECISIONS.index(outcome.precision))}
    candidates = []
    for outcome in decided.values():
        if outcome.pixel_agreement is not None:
            least = contract.golden.min_pixel_agreement[outcome.precision]
            equal = f"{100 * outcome.pixel_agreement:.3f} % of the golden image's pixels are equal"
            refused = f"{equal}, but {100 * least:g} % are needed" if outcome.pixel_agreement < least else ""
            candidates.append(Candidate(outcome.precision, outcome.p50_ms, refused=refused))
    for candidate, choice in zip(candidates, choose_precisions(candidates, contract.min_speedup), strict=True):
        status = "failed" if candidate.refused and candidate.precision != "int8" else choice.status
        decided[candidate.precision] = decided[candidate.precision]._replace(status=status, reason=choice.reason)
    return list(decided.values())


def fastest(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the fastest accepted engine that was run; if there is none, the fastest undecided one."""
    ran = [outcome for outcome in outcomes if outcome.status in ("accepted", "undecided") and outcome.p50_ms]
    return min(ran, key=lambda outcome: (outcome.status != "accepted", outcome.p50_ms or 0.0), default=None)


def read_golden(contract: Contract, read: Callable[[str], bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return the golden image, uint8 (1, H, W, 3), and the labels that fp32 gave for it, uint8 (1, H, W)."""
    image, labels = (decode(name, read(name)) for name in (contract.golden.image, contract.golden.labels["fp32"]))
    if image.shape[2:] != (3,) or labels.dtype != np.uint8 or labels.shape != image.shape[:2]:
        raise FileRefused(f"{contract.golden.labels['fp32']} is not an 8-bit label image of {contract.golden.image}")
    return image[None], labels[None]
