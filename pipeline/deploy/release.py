"""Package one run for whoever will use it: decisions, files, contract, card, and a manifest with the hash of each.

A run that fails a gate gets a bundle too: it says why, and holds no model.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256, write_json, write_text
from pipeline.data.samples import read_samples
from pipeline.deploy.bundle.verify import FORMAT, MANIFEST, SIGNATURE, verify
from pipeline.deploy.card import render_card
from pipeline.deploy.contract import preprocessing_contract
from pipeline.deploy.evidence import Artifact, Evidence, EvidenceError, copy_measured, read_evidence
from pipeline.deploy.gates import failed_gates
from pipeline.deploy.golden import write_golden
from pipeline.deploy.isaac_ros import write_isaac_ros
from pipeline.deploy.locked import LICENSES, LOCK
from pipeline.deploy.materials import write_bill
from pipeline.deploy.numerics import numerics_record, perf_record, write_yaml
from pipeline.deploy.shipping import PRECISIONS, Decision, decide, defaults, for_receivers
from pipeline.deploy.signing import sign
from pipeline.deploy.triton import RUNTIME, write_model_repository
from pipeline.errors import SegdistillError
from pipeline.params.deployment import ParityParams, ReleaseParams
from pipeline.params.runs import RunParams

BUNDLE = Path(__file__).parent / "bundle"
RUNNER = (
    "predict.py", "self_test.py", "segmenter.py", "verify.py", "requirements.txt", LOCK, LICENSES, "runner/*.py",
    "on_target/*.py", "cpp/*",
)  # fmt: skip
REBUILDER = ("rebuild.py", "rebuild_on_target.sh")
TOOLS = ("torch", "onnx", "onnxruntime-gpu", "openvino", "tensorrt-rtx-cu13")
"""Packages whose versions decide what is in a bundle."""


class ReleaseError(SegdistillError):
    """A bundle that cannot be made from what is there."""


@dataclass(frozen=True, kw_only=True)
class LockedFile:
    path: str
    md5: str | None = None  # files in git have none


@dataclass(frozen=True, kw_only=True)
class LockedStage:
    deps: list[LockedFile] = field(default_factory=list)
    outs: list[LockedFile] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What of dvc.lock goes into a card."""

    stages: dict[str, LockedStage]


DVC_LOCK = TypeAdapter(Lock)


class Folders(NamedTuple):
    """Where one run's files are and where its release goes."""

    export: Path  # ONNX files of stage export
    quantize: Path  # and those of stage quantize, with calibration.csv
    engines: Path
    metrics: Path  # holds evaluate/, export/, quantize/, engine/ and profile/
    out: Path  # the bundle
    reports: Path  # perf.yaml and numerics.yaml once more, for git


def package_release(
    name: str,
    run: RunParams,
    size: tuple[int, int],
    split: str,
    parity: ParityParams,
    release: ReleaseParams,
    classes: Path,
    samples: Path,
    lock: Path,
    folders: Folders,
    signing_key: Path | None,
) -> None:
    """Decide what ships, build the bundle in a temporary folder, and rename it when it is complete and verified.

    Args:
        size: (H, W) of the graphs that ship.
        split: the evaluation split, whose first image becomes the golden one.
        lock: dvc.lock, from which the card takes what produced the checkpoint.
        signing_key: PEM file of an Ed25519 private key; without one the bundle is unsigned.

    Raises:
        EvidenceError: a measurement is missing, or a file is not the one that was measured.
        LockError: the bundle's requirements.lock cannot be relied on, or the license of a package is not listed.
        ReleaseError: no lock, or one that does not know the run.
        SigningError: the key cannot be used.
    """
    evidence, origin = read_evidence(folders.metrics, name, run.baseline), provenance(lock, name)
    everywhere = decide(evidence.artifacts, evidence.engines, evidence.measurements, size, vars(release.min_speedup))
    decisions = for_receivers(everywhere, release.runtimes, release.files)
    reasons = failed_gates(decisions, evidence.artifacts, evidence.measurements, size, release)
    table, contract = ClassTable.load(classes), {}
    with _replacing_folder(folders.out) as bundle:
        if not reasons:
            shipped = _copy_graphs(evidence.artifacts, decisions, folders, bundle)
            if "tensorrt" in release.runtimes:
                _copy_engines(evidence, folders.engines, bundle)
                _copy_code(REBUILDER, bundle)
            _copy_code(RUNNER, bundle)
            graphs = _golden_graphs(shipped, evidence.artifacts, folders)
            golden = write_golden(read_samples(samples, split)[0], size, graphs, shipped, parity, bundle)
            contract = preprocessing_contract(name, size, decisions, golden, vars(release.min_speedup))
            write_json(bundle / "preprocessing.json", contract)
            if release.servers:
                _write_servers(contract, table, golden.image, bundle)
            write_bill(name, bundle)
        table.save(bundle / "classes.json")
        listed = evidence.quantization.calibration.sha256
        copy_measured(folders.quantize / "calibration.csv", listed, bundle / "calibration.csv")
        write_yaml(bundle / "numerics.yaml", numerics_record(name, evidence, decisions, reasons, samples, origin))
        write_yaml(bundle / "perf.yaml", perf_record(evidence, decisions))
        card = render_card(
            name, run, table.dataset, evidence, decisions, reasons, contract, release, origin,
            signing_key is not None,
        )  # fmt: skip
        write_text(bundle / "card.md", card)
        write_json(bundle / MANIFEST, manifest(name, reasons, bundle))
        if signing_key is not None:
            with replacing(bundle / SIGNATURE) as temporary:
                temporary.write_bytes(sign((bundle / MANIFEST).read_bytes(), signing_key))
        verify(bundle, None)  # what a receiver does first must work
    for file in ("numerics.yaml", "perf.yaml"):
        write_text(folders.reports / file, (folders.out / file).read_text(encoding="utf-8"))
    _tell(name, decisions, reasons, signing_key is not None)


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; on success it takes its place, on failure it is removed."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def manifest(name: str, reasons: Sequence[str], bundle: Path) -> dict[str, object]:
    """Every file in the bundle, and what became of the run."""
    return {
        "format": FORMAT,
        "run": name,
        "status": "rejected" if reasons else "released",
        "reasons": list(reasons),
        "tools": {tool: _version(tool) for tool in TOOLS},
        "files": _listed_files(bundle),
    }


def _listed_files(bundle: Path) -> list[dict[str, object]]:
    """Path, size and SHA-256 of every file in the bundle; not of the manifest, which holds them."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name not in (MANIFEST, SIGNATURE))
    return [
        {"path": path.relative_to(bundle).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in files
    ]


def provenance(lock: Path, name: str) -> list[dict[str, str]]:
    """What the lock file says went into the run's checkpoint: path and hash of each dependency and output.

    Raises:
        ReleaseError: no lock file, a damaged one, or one that does not know the stages that made the checkpoint.
    """
    if not lock.is_file():
        raise ReleaseError(
            f"no {lock}: without it nobody could say what made this model; run the stages with dvc repro"
        )
    try:
        content = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))
        stages = DVC_LOCK.validate_python(content).stages
    except (YAMLError, ValidationError, ValueError, RecursionError) as error:
        raise ReleaseError(f"{lock} cannot be read ({error}); get it back from git, or run dvc repro") from error
    wanted = ("prepare", "curate", "teacher", f"student@{name}")
    missing = [stage for stage in wanted if stage not in stages]
    if missing:
        raise ReleaseError(f"{lock} does not know the stages {', '.join(missing)}; run dvc repro")
    return [
        {"stage": stage, "kind": kind, "path": entry.path, "md5": entry.md5}
        for stage in wanted
        for kind, entries in (("deps", stages[stage].deps), ("outs", stages[stage].outs))
        for entry in entries
        if entry.md5 is not None
    ]


def _copy_graphs(
    artifacts: Sequence[Artifact], decisions: Sequence[Decision], folders: Folders, bundle: Path
) -> list[Artifact]:
    """Copy what ships on some runtime or is still undecided there; returns those."""
    wanted = {decision.file for decision in decisions if decision.verdict != "rejected"}
    shipped = [artifact for artifact in artifacts if artifact.file in wanted]
    for artifact in shipped:
        copy_measured(_source(artifact, folders), artifact.sha256, bundle / artifact.file)
    return shipped


def _source(artifact: Artifact, folders: Folders) -> Path:
    return (folders.quantize if artifact.precision == "int8" else folders.export) / artifact.file


def _copy_engines(evidence: Evidence, engines: Path, bundle: Path) -> None:
    """Copy what was built, each engine with its description, unless it ran and was over its budget."""
    for engine in evidence.engines:
        if engine.status == "built" and engine.accepted is not False:
            copy_measured(engines / engine.file, engine.sha256, bundle / "engines" / engine.file)
            description = engines / f"{engine.file}.json"
            if not description.is_file():
                raise EvidenceError(
                    f"{description} is missing, so nobody could say what the engine is for; run dvc repro"
                )
            shutil.copyfile(description, bundle / "engines" / description.name)


def _copy_code(patterns: Sequence[str], bundle: Path) -> None:
    """What receivers run; scripts keep their permission to be run."""
    for source in sorted(path for pattern in patterns for path in BUNDLE.glob(pattern)):
        target = bundle / source.relative_to(BUNDLE)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.suffix == ".sh" else 0o644)


def _golden_graphs(shipped: Sequence[Artifact], artifacts: Sequence[Artifact], folders: Folders) -> dict[str, Path]:
    """The graph that says what each precision's labels should be: on the CPU, where all of them can be run."""
    full = [artifact for artifact in artifacts if artifact.precision == "fp32"]
    on_cpu = [artifact for artifact in shipped if "onnxruntime" in artifact.runtimes]
    chosen = sorted([*full, *on_cpu], key=lambda artifact: PRECISIONS.index(artifact.precision))
    return {artifact.precision: _source(artifact, folders) for artifact in chosen}


def _write_servers(contract: dict[str, Any], table: ClassTable, image: np.ndarray, bundle: Path) -> None:
    """Folders for Triton and Isaac ROS, if a file ships for the runtime that the server uses."""
    for choice in contract["runtimes"]:
        if choice["runtime"] == RUNTIME:
            graph, triton = bundle / choice["model"], bundle / "triton"
            model = write_model_repository(contract, choice, graph, image, table, triton)
            write_isaac_ros(contract, model.name, table, triton, bundle / "isaac_ros")


def _tell(name: str, decisions: Sequence[Decision], reasons: Sequence[str], signed: bool) -> None:
    for decision in decisions:
        print(f"{name} {decision.runtime} {decision.precision}: {decision.verdict}: {decision.reason}")
    if reasons:
        print(f"{name} is REJECTED: {'; '.join(reasons)}")
    else:
        best = defaults(decisions)[0]
        print(f"{name} is released; fastest: {best.file} with {best.runtime}")
    if not signed:
        print(f"WARNING: {name} is NOT SIGNED: set SEGDISTILL_SIGNING_KEY to the path of a private key")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
