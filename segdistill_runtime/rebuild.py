"""Build a bundle's engines on the machine that will run them: ./rebuild_on_target.sh [--public-key KEY.pub]

Checks the bundle first. Then builds an engine of every precision whose ONNX file is in the bundle, runs the golden
image through each, compares with the expected labels, times it, and decides which engines stay: a lower precision only
if it is right and fast enough. Everything that was found stands in rebuild.json beside the engines.

Needs Python 3.10 and, except with --build-only, numpy and pillow; and TensorRT: one of the Python packages tensorrt or
tensorrt_rtx, or the program trtexec. With --build-only and tensorrt_rtx no GPU is needed; nothing is decided then.
"""

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segdistill_runtime.contract import CONTRACT, Contract, read_contract
from segdistill_runtime.cuda import CudaRuntime
from segdistill_runtime.engine_build import Settings, build_machine, timing_cache_name
from segdistill_runtime.engine_file import Built, description_path, engines_folder, write_engine, write_whole
from segdistill_runtime.engine_target import ENGINE_SOURCES, EngineTarget, engine_targets
from segdistill_runtime.errors import BuildFailed, FileRefused, NotAvailable, Refused
from segdistill_runtime.precision_choice import PRECISIONS, Candidate, choose_precisions
from segdistill_runtime.targets.target import read_file
from segdistill_runtime.trtexec import TrtexecBuilder, find_trtexec
from segdistill_runtime.verify import Bundle, add_key_argument, verify

FORMAT = "segdistill-rebuild-2"
AUTO = "auto"
WARM_UP_CALLS = 50
CALLS, MIN_S = 200, 1.0
MIN_CALLS_FOR_P90 = 64


class Outcome(NamedTuple):
    """What became of one precision."""

    precision: str
    source_file: str
    source_sha256: str
    status: str  # accepted, rejected, failed (a fault), undecided (not run here), absent (not in the bundle)
    reason: str
    file: str = ""
    bytes: int = 0
    sha256: str = ""
    build_s: float | None = None
    pixel_agreement: float | None = None  # with the golden labels of fp32, 0..1; None if it was not run
    calls: int = 0
    p50_ms: float | None = None  # host to host, the golden image, batch 1
    p90_ms: float | None = None
    released: dict[str, Any] | None = None  # the bundle's own engine for the same GPUs, and whether the bytes are equal


class PackageBuilder:
    """Builds and runs with a Python package; TrtexecBuilder does the same with a program.

    Args:
        cuda: None where there is no GPU: engines are then built ahead of time and not run.
    """

    def __init__(self, target: EngineTarget, capabilities: list[str], cuda: CudaRuntime | None):
        self.target = target
        self.backend, self.version = target.name, target.version()
        self.capabilities = capabilities
        self.gpu = capabilities[0] if cuda is not None else None

    def build(self, source_file: str, source: bytes, precision: str, settings: Settings) -> Built:
        return self.target.build(source_file, source, precision, self.capabilities, self.gpu, settings)

    def measure(self, engine: Path, images: Any, calls: int, min_s: float) -> tuple[Any, list[float]]:
        with self.target.open(str(engine), read_file, 0) as runner:
            for _ in range(WARM_UP_CALLS):
                runner.run(images)
            labels, times = runner.run(images), []
            start = time.perf_counter()
            while len(times) < calls or time.perf_counter() - start < min_s:
                before = time.perf_counter()
                runner.run(images)
                times.append(1000 * (time.perf_counter() - before))
        return labels, times


Builder = PackageBuilder | TrtexecBuilder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    backends = (AUTO, *(target.name for target in engine_targets()), "trtexec")
    parser.add_argument("--bundle", type=Path, default=Path(), help="folder or archive.zip (default: this folder)")
    parser.add_argument("--out", type=Path, help="folder of the engines (default: beside the bundle, NAME-engines)")
    add_key_argument(parser)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--backend", choices=backends, default=AUTO)
    parser.add_argument("--build-only", action="store_true", help="build ahead of time, without a GPU; run nothing")
    parser.add_argument("--compute-capabilities", nargs="+", metavar="SM", help="with --build-only, such as SM86 SM120")
    parser.add_argument("--timing-cache", type=Path, help="file that keeps what the builder measured (default: in OUT)")
    parser.add_argument("--workspace-mebibytes", type=int, help="most memory that a kernel may ask for")
    parser.add_argument("--optimization-level", type=int, choices=range(6))


def run(arguments: argparse.Namespace) -> None:
    if arguments.workspace_mebibytes is not None and arguments.workspace_mebibytes < 1:
        raise Refused("--workspace-mebibytes must be at least 1")
    bundle = verify(arguments.bundle, arguments.public_key)
    print(bundle.summary())
    bundle.require_model()
    out = arguments.out or engines_folder(arguments.bundle)
    if out.resolve().is_relative_to(arguments.bundle.resolve()):
        raise Refused(f"{out} lies in the bundle, which must stay as it was released; name another --out")
    faults = rebuild(bundle, arguments, out)
    if faults:
        sys.exit("\n".join(faults))


def rebuild(bundle: Bundle, arguments: argparse.Namespace, out: Path) -> list[str]:
    """Build, run, decide, write `out`/rebuild.json; returns what went wrong, one line for each precision."""
    contract = read_contract(bundle.read(CONTRACT))
    released = released_engines(bundle)
    builder = choose_builder(arguments.backend, arguments.build_only, arguments.compute_capabilities, released)
    golden = None if arguments.build_only else read_golden(contract, bundle.read)
    out.mkdir(parents=True, exist_ok=True)
    cache = arguments.timing_cache or out / timing_cache_name(builder.backend, builder.version, builder.capabilities)
    settings = Settings(arguments.workspace_mebibytes, arguments.optimization_level, cache)
    outcomes = []
    for precision in sorted(set(arguments.precisions), key=PRECISIONS.index):
        print(f"{precision}: building with {builder.backend} {builder.version} ...", flush=True)
        outcomes.append(try_precision(bundle, contract, builder, precision, settings, golden, released, out))
    decided = decide(outcomes, contract)
    for outcome in decided:
        if outcome.file and outcome.status in ("rejected", "failed"):
            (out / outcome.file).unlink()
            description_path(out / outcome.file).unlink()
        print(f"{outcome.precision}: {outcome.status}{': ' if outcome.reason else ''}{outcome.reason}")
    report = _report(bundle, contract, builder, decided, golden is not None)
    write_whole(out / "rebuild.json", (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    print(f"engines and rebuild.json are in {out}")
    faults = [f"{o.precision} failed: {o.reason}" for o in decided if o.status == "failed"]
    if not any(o.status in ("accepted", "undecided") for o in decided):
        faults.append("no engine was built that may be used; the ONNX files of the bundle still run on ONNX Runtime")
    return faults


def try_precision(
    bundle: Bundle,
    contract: Contract,
    builder: Builder,
    precision: str,
    settings: Settings,
    golden: tuple[Any, Any] | None,
    released: Sequence[dict[str, Any]],
    out: Path,
) -> Outcome:
    """Build one engine and run it on the golden image; without that image it stays undecided.

    An engine that cannot be built or run has failed; of int8 that is expected on some targets, so it is rejected.
    """
    source, fault = ENGINE_SOURCES[precision], "rejected" if precision == "int8" else "failed"
    if source not in bundle.files:
        return Outcome(precision, source, "", "absent", f"{source} is not in this bundle; its card says why")
    if precision not in contract.golden.min_pixel_agreement:
        return Outcome(precision, source, "", "absent", f"{CONTRACT} does not say how exact it must be")
    content = bundle.read(source)
    digest = hashlib.sha256(content).hexdigest()
    start = time.perf_counter()
    try:
        built = builder.build(source, content, precision, settings)
    except BuildFailed as error:
        return Outcome(precision, source, digest, fault, str(error))
    build_s = round(time.perf_counter() - start, 3)
    engine = write_engine(built, out)
    outcome = Outcome(
        precision, source, digest, "undecided", "built, not run: --build-only", engine.name, len(built.plan),
        built.description.engine_sha256, build_s, released=_counterpart(built.description._asdict(), released),
    )  # fmt: skip
    if golden is None:
        return outcome
    images, expected = golden
    try:
        labels, times_ms = builder.measure(engine, images, CALLS, MIN_S)
    except NotAvailable as error:
        return outcome._replace(status=fault, reason=str(error))
    return outcome._replace(
        pixel_agreement=float((labels == expected).mean()),
        calls=len(times_ms),
        p50_ms=statistics.median(times_ms),
        p90_ms=statistics.quantiles(times_ms, n=10)[-1] if len(times_ms) >= MIN_CALLS_FOR_P90 else None,
    )


def decide(outcomes: Sequence[Outcome], contract: Contract) -> list[Outcome]:
    """Decide about what was run. Wrong labels are a fault, except those of int8, which is then rejected."""
    ordered = sorted(outcomes, key=lambda outcome: PRECISIONS.index(outcome.precision))
    candidates = {}
    for outcome in ordered:
        if outcome.pixel_agreement is not None:
            least = contract.golden.min_pixel_agreement[outcome.precision]
            equal = f"{100 * outcome.pixel_agreement:.3f} % of the golden image's pixels are equal"
            refused = f"{equal}, needed are {100 * least:g} %" if outcome.pixel_agreement < least else ""
            candidates[outcome.precision] = Candidate(outcome.precision, outcome.p50_ms, refused=refused)
    choices = dict(zip(candidates, choose_precisions(list(candidates.values()), contract.min_speedup), strict=True))
    decided = []
    for outcome in ordered:
        if choice := choices.get(outcome.precision):
            fault = candidates[outcome.precision].refused and outcome.precision != "int8"
            outcome = outcome._replace(status="failed" if fault else choice.status, reason=choice.reason)
        decided.append(outcome)
    return decided


def fastest(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the engine to use on this machine; one that had nothing to be compared with, only if no other is left."""
    for status in ("accepted", "undecided"):
        ran = [outcome for outcome in outcomes if outcome.status == status and outcome.p50_ms is not None]
        if ran:
            return min(ran, key=lambda outcome: outcome.p50_ms or 0.0)
    return None


def choose_builder(
    backend: str, build_only: bool, capabilities: Sequence[str] | None, released: Sequence[dict[str, Any]]
) -> Builder:
    """Choose the full TensorRT before trtexec before TensorRT for RTX, unless one was named.

    Args:
        backend: auto, the name of a package, or trtexec.
        build_only: no GPU is used, so only a package that builds ahead of time will do.
        capabilities: GPUs to build for, such as SM86; only with `build_only`, where None stands for those of
            `released`, the descriptions of the bundle's own engines.

    Raises:
        NotAvailable: none of them can, with the reason of each; or there is no GPU, and engines are to be run.
    """
    targets = engine_targets()
    if build_only:
        (target,) = (target for target in targets if target.ahead_of_time)
        if backend not in (AUTO, target.name):
            raise NotAvailable(f"--build-only needs {target.name}: {backend} builds for the GPU of this machine")
        shipped = (engine["compute_capabilities"] for engine in released if engine.get("backend") == target.name)
        gpus = capabilities or next(shipped, None)
        builder = PackageBuilder(target, list(gpus or ()), None)
        if not gpus:
            raise NotAvailable("this bundle has no engines to take the GPUs from: add --compute-capabilities SM86")
        return builder
    if capabilities:
        raise NotAvailable("--compute-capabilities goes with --build-only; otherwise engines are for this GPU")
    try:
        cuda = CudaRuntime()
    except NotAvailable as error:
        raise NotAvailable(f"there is no GPU to run engines on: {error}. Without one: --build-only") from error
    gpu = cuda.capability()
    attempts: dict[str, Callable[[], Builder]] = {"trtexec": lambda: TrtexecBuilder(find_trtexec(), gpu)}
    for target in targets:
        attempts[target.name] = lambda target=target: PackageBuilder(target, [gpu], cuda)
    on_target = [target.name for target in targets if not target.ahead_of_time]
    order = [*on_target, *(name for name in attempts if name not in on_target)]
    reasons = []
    for name in order if backend == AUTO else [backend]:
        try:
            return attempts[name]()
        except NotAvailable as error:
            reasons.append(str(error))
    raise NotAvailable(f"nothing here can build an engine: {'; '.join(reasons)}")


def read_golden(contract: Contract, read: Callable[[str], bytes]) -> tuple[Any, Any]:
    """Return the golden image, uint8 (1, H, W, 3), and the labels that fp32 gave for it, uint8 (1, H, W).

    Raises:
        NotAvailable: numpy or pillow are missing.
        FileRefused: the files are no such images.
    """
    try:
        import numpy as np

        from segdistill_runtime.images import decode
    except ImportError as error:
        raise NotAvailable(f"checking engines needs numpy and pillow ({error}); --build-only does not") from error
    image, labels = (decode(name, read(name)) for name in (contract.golden.image, contract.golden.labels["fp32"]))
    if image.shape[2:] != (3,) or labels.dtype != np.uint8 or labels.shape != image.shape[:2]:
        raise FileRefused(f"{contract.golden.labels['fp32']} is no 8-bit label image of {contract.golden.image}")
    return image[None], labels[None]


def released_engines(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the descriptions of the engines that came with the bundle."""
    names = [name for name in bundle.files if name.startswith("engines/") and name.endswith(".engine.json")]
    try:
        return [dict(json.loads(bundle.read(name))) for name in sorted(names)]
    except (ValueError, TypeError) as error:
        raise FileRefused(f"an engine's description in {bundle.path / 'engines'} is no JSON: {error}") from error


def _counterpart(rebuilt: dict[str, Any], released: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the bundle's engine of the same precision, package and GPUs, and whether the rebuilt one equals it."""
    same = ("precision", "backend", "compute_capabilities")
    for engine in released:
        if all(engine.get(key) == rebuilt[key] for key in same):
            return {
                "version": engine.get("version"),
                "bytes": engine.get("bytes"),
                "sha256": engine.get("engine_sha256"),
                "identical": engine.get("engine_sha256") == rebuilt["engine_sha256"],
            }
    return None


def _report(
    bundle: Bundle, contract: Contract, builder: Builder, outcomes: Sequence[Outcome], executed: bool
) -> dict[str, Any]:
    model, best = Path("/proc/device-tree/model"), fastest(outcomes)  # on a Jetson: which one
    return {
        "format": FORMAT,
        "run": bundle.run,
        "manifest_sha256": bundle.manifest_sha256,
        "signature": bundle.signature,
        "backend": builder.backend,
        "version": builder.version,
        "compute_capabilities": builder.capabilities,
        "executed": executed,
        "machine": {
            **build_machine(builder.capabilities[0] if executed else None),
            "board": model.read_text().strip("\0\n") if model.is_file() else None,
        },
        "golden": {"image": contract.golden.image, "labels": contract.golden.labels["fp32"]},
        "limits": {"min_pixel_agreement": contract.golden.min_pixel_agreement, "min_speedup": contract.min_speedup},
        "default": best.precision if best else None,
        "engines": [outcome._asdict() for outcome in outcomes],
    }
