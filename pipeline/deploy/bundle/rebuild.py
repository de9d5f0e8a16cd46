"""Build this bundle's engines on the machine that will run them: ./rebuild_on_target.sh [--public-key KEY.pub]

Checks the bundle first. Then builds an engine of every precision whose ONNX file is in the bundle, runs the golden
image through each, compares with the expected labels, times it, and decides which engines stay: int8 only if it is
right and fast enough. Everything that was found stands in rebuild.json beside the engines.

Needs Python 3.10 and, except with --build-only, numpy and pillow; and TensorRT: one of the Python packages tensorrt or
tensorrt_rtx, or the program trtexec. With --build-only and tensorrt_rtx no GPU is needed; nothing is decided then.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

BUNDLE = Path(__file__).resolve().parent
sys.path.insert(0, str(BUNDLE))  # `python -I` leaves out the folder of the script
sys.dont_write_bytecode = True  # a bundle stays as it was signed

from on_target.cuda_runtime import CudaUnavailable  # noqa: E402
from on_target.engine_builder import BuildFailed, Settings, build_machine, timing_cache_name  # noqa: E402
from on_target.engine_file import EngineRefused, describe, description_path, engine_name  # noqa: E402
from on_target.golden import Contract, ContractUnusable, read_contract, read_golden  # noqa: E402
from on_target.session import PythonTarget  # noqa: E402
from on_target.targets import NoTarget, choose_target  # noqa: E402
from on_target.trtexec import TrtexecTarget  # noqa: E402
from on_target.verdict import PRECISIONS, Outcome, decide, fastest  # noqa: E402
from verify import BundleRefused, Verification, given_key, verified_bytes, verify  # noqa: E402

FORMAT = "segdistill-rebuild-1"
SOURCES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8_tensorrt.onnx"}
MIN_CALLS_FOR_P90 = 64


class RebuildRefused(Exception):
    """A bundle, or an option, with which nothing can be rebuilt; says what is wrong with it."""


class Bundle(NamedTuple):
    """A verified bundle."""

    folder: Path
    verification: Verification

    def holds(self, name: str) -> bool:
        return name in self.verification.files

    def read(self, name: str) -> bytes:
        return verified_bytes(self.folder, self.verification, name)


def main() -> None:
    arguments = _arguments()
    try:
        verification = verify(arguments.bundle, given_key(arguments.public_key))
        print(verification.in_words())
        if verification.status != "released":
            raise RebuildRefused(
                f"{verification.run} was rejected and holds no model: {'; '.join(verification.reasons)}"
            )
        bundle = Bundle(arguments.bundle, verification)
        out = arguments.out or arguments.bundle.with_name(f"{arguments.bundle.name}-engines")
        if out.resolve().is_relative_to(arguments.bundle):
            raise RebuildRefused(f"{out} lies in the bundle, which must stay as it was released; name another --out")
        faults = rebuild(bundle, arguments, out)
    except (BundleRefused, ContractUnusable, NoTarget, RebuildRefused) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or 'a file'} cannot be written or read: {error.strerror}")
    if faults:
        sys.exit("\n".join(faults))


def rebuild(bundle: Bundle, arguments: argparse.Namespace, out: Path) -> list[str]:
    """Build, run, decide, write `out`/rebuild.json; returns what went wrong, one line for each precision."""
    contract = read_contract(bundle.read("preprocessing.json"))
    released = released_engines(bundle)
    target = choose_target(arguments.backend, arguments.build_only, arguments.compute_capabilities, released)
    golden = None if arguments.build_only else read_golden(contract, bundle.read)
    out.mkdir(parents=True, exist_ok=True)
    cache = arguments.timing_cache or out / timing_cache_name(target.backend, target.version, target.capabilities)
    settings = Settings(arguments.workspace_mebibytes, arguments.optimization_level, cache)

    outcomes = []
    for precision in arguments.precisions:
        print(f"{precision}: building with {target.backend} {target.version} ...", flush=True)
        outcomes.append(try_precision(bundle, contract, target, precision, settings, golden, released, out))
    decided = decide(outcomes, contract.limits)
    for outcome in decided:
        if outcome.file and outcome.verdict in ("rejected", "failed"):
            (out / outcome.file).unlink()
            description_path(out / outcome.file).unlink()
        print(f"{outcome.precision}: {outcome.verdict}{': ' if outcome.reason else ''}{outcome.reason}")
    best = fastest(decided)
    _write(
        out / "rebuild.json",
        _report(bundle, contract, target, decided, best.precision if best else None, not arguments.build_only),
    )
    print(f"engines and rebuild.json are in {out}")
    faults = [f"{o.precision} failed: {o.reason}" for o in decided if o.verdict == "failed"]
    if not any(o.verdict in ("kept", "undecided") for o in decided):
        faults.append("no engine was built that may be used; the ONNX files of the bundle still run on ONNX Runtime")
    return faults


def try_precision(
    bundle: Bundle,
    contract: Contract,
    target: PythonTarget | TrtexecTarget,
    precision: str,
    settings: Settings,
    golden: tuple[Any, Any] | None,
    released: Sequence[dict[str, Any]],
    out: Path,
) -> Outcome:
    """Build one engine and run it on the golden image; without that image it stays undecided.

    An engine that cannot be built or run has failed; of int8 that is expected on some targets, so it is rejected.
    """
    source, fault = SOURCES[precision], "rejected" if precision == "int8" else "failed"
    if not bundle.holds(source):
        return Outcome(precision, source, "", "absent", f"{source} is not in this bundle; its card says why")
    if precision not in contract.limits.min_pixel_agreement:
        return Outcome(precision, source, "", "absent", "preprocessing.json does not say how exact it must be")
    content = bundle.read(source)
    digest = hashlib.sha256(content).hexdigest()
    start = time.perf_counter()
    try:
        built = target.build(bundle.folder / source, content, precision, settings, out)
    except BuildFailed as error:
        return Outcome(precision, source, digest, fault, str(error))
    build_s = round(time.perf_counter() - start, 3)
    if built.timing_cache is not None and settings.timing_cache is not None:
        _write(settings.timing_cache, built.timing_cache)
    engine = out / engine_name(precision, target.backend, target.version, target.capabilities, digest)
    _write(engine, built.plan)
    _write(description_path(engine), describe(built.description).encode())
    outcome = Outcome(
        precision, source, digest, "undecided", "built, not run: --build-only", engine.name, len(built.plan),
        built.description.engine_sha256, build_s, released=_counterpart(built.description._asdict(), released),
    )  # fmt: skip
    if golden is None:
        return outcome
    image, expected = golden
    try:
        labels, times_ms = target.measure(engine, contract.input, contract.output, image)
    except (EngineRefused, CudaUnavailable) as error:
        return outcome._replace(verdict=fault, reason=str(error))
    return outcome._replace(
        pixel_agreement=float((labels == expected).mean()),
        calls=len(times_ms),
        p50_ms=statistics.median(times_ms),
        p90_ms=statistics.quantiles(times_ms, n=10)[-1] if len(times_ms) >= MIN_CALLS_FOR_P90 else None,
    )


def released_engines(bundle: Bundle) -> list[dict[str, Any]]:
    """Descriptions of the engines that came with the bundle."""
    names = [n for n in bundle.verification.files if n.startswith("engines/") and n.endswith(".engine.json")]
    try:
        return [dict(json.loads(bundle.read(name))) for name in sorted(names)]
    except (ValueError, TypeError) as error:
        raise RebuildRefused(f"an engine's description in {bundle.folder / 'engines'} is no JSON: {error}") from error


def _counterpart(rebuilt: dict[str, Any], released: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The bundle's engine of the same precision, package and GPUs, and whether the rebuilt one equals it."""
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
    bundle: Bundle,
    contract: Contract,
    target: PythonTarget | TrtexecTarget,
    outcomes: Sequence[Outcome],
    default: str | None,
    executed: bool,
) -> bytes:
    model = Path("/proc/device-tree/model")  # on a Jetson: which one
    record = {
        "format": FORMAT,
        "run": bundle.verification.run,
        "manifest_sha256": hashlib.sha256((bundle.folder / "manifest.json").read_bytes()).hexdigest(),
        "signature": bundle.verification.signature,
        "backend": target.backend,
        "version": target.version,
        "compute_capabilities": target.capabilities,
        "executed": executed,
        "machine": {
            **build_machine(target.capabilities[0] if executed else None),
            "board": model.read_text().strip("\0\n") if model.is_file() else None,
        },
        "golden": {"image": contract.image, "labels": contract.labels},
        "limits": contract.limits._asdict(),
        "default": default,
        "engines": [outcome._asdict() for outcome in outcomes],
    }
    return (json.dumps(record, indent=2, allow_nan=False) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, so that an interrupted run leaves none that is cut off."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="(default: the folder of this script)")
    parser.add_argument("--out", type=Path, help="folder of the engines (default: beside the bundle, NAME-engines)")
    parser.add_argument("--public-key", type=Path, help="PEM file of the key that must have signed the bundle")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--backend", choices=("auto", "tensorrt", "trtexec", "tensorrt_rtx"), default="auto")
    parser.add_argument("--build-only", action="store_true", help="build ahead of time, without a GPU; run nothing")
    parser.add_argument("--compute-capabilities", nargs="+", metavar="SM", help="with --build-only, such as SM86 SM120")
    parser.add_argument("--timing-cache", type=Path, help="file that keeps what the builder measured (default: in OUT)")
    parser.add_argument("--workspace-mebibytes", type=int, help="most memory that a kernel may ask for")
    parser.add_argument("--optimization-level", type=int, choices=range(6))
    arguments = parser.parse_args()
    if arguments.workspace_mebibytes is not None and arguments.workspace_mebibytes < 1:
        parser.error("--workspace-mebibytes must be at least 1")
    arguments.bundle = arguments.bundle.resolve()
    arguments.precisions = list(dict.fromkeys(arguments.precisions))
    return arguments


if __name__ == "__main__":
    main()
