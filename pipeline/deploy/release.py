"""Package one run for whoever will use it: decisions, files, contract, card, and a manifest with the hash of each.

A run that fails a gate gets a bundle too: it says why, and holds no model.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256, write_json, write_text
from pipeline.data.samples import read_samples
from pipeline.deploy.card import render_card
from pipeline.deploy.contract import release_contract
from pipeline.deploy.gates import failed_gates
from pipeline.deploy.golden import write_golden
from pipeline.deploy.precision_choice import decide, defaults, for_receivers
from pipeline.deploy.receivers import RECEIVERS
from pipeline.deploy.receivers.served import Served
from pipeline.deploy.release_metrics import numerics, performance
from pipeline.deploy.requirements_lock import LICENSES, LOCK
from pipeline.deploy.sbom import write_bill
from pipeline.deploy.signing import sign
from pipeline.deploy.wheel import PACKAGE, build_wheel, runtime_version
from pipeline.errors import ArtifactError
from pipeline.params.deployment import ParityParams, ReleaseParams
from pipeline.params.runs import RunParams
from pipeline.records.decision import Decision
from pipeline.records.engine import Engine
from pipeline.records.export import PRECISIONS, Artifact
from pipeline.records.files import write_record, write_yaml
from pipeline.records.release import Manifest, ReleasedFile
from pipeline.records.run import read_evaluation, read_run
from segdistill_runtime.contract import CLASSES, CONTRACT
from segdistill_runtime.targets.target import all_targets, load_target
from segdistill_runtime.verify import FORMAT, MANIFEST, SIGNATURE, verify

RESOURCES = ("receivers", "onnx_rules.py")  # what is found by name only, for the digest of this code
BUNDLE_FILES = PACKAGE / "bundle_files"
COMMON_FILES = ("predict.py", "self_test.py", "requirements.txt", LOCK, LICENSES, "cpp/CMakeLists.txt", "cpp/main.cpp")
TOOLS = ("torch", "onnx", *dict.fromkeys(package for target in all_targets() for package in target.packages))
"""Packages whose versions decide what is in a bundle."""

RESOLVED = "artifacts/resolved.json"  # of stage resolve
OPTIONAL_STAGES = {"pretrain": "artifacts/pretraining", "teacher": "artifacts/teacher"}


class Folders(NamedTuple):
    """Where one run's files are and where its release goes."""

    export: Path  # ONNX files of stage export
    quantize: Path  # and those of stage quantize, with calibration.csv
    engines: Path
    metrics: Path  # holds evaluate/, export/, quantize/, engine/ and benchmark/
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
        ArtifactError: a measurement, a lock, a license or the key is missing or damaged, or a file is not the one that
            was measured.
    """
    records, origin = read_run(folders.metrics, name), provenance(lock, name)
    baseline, teacher = (read_evaluation(folders.metrics, other) for other in (run.baseline, "teacher"))
    artifacts, measurements = records.artifacts, records.benchmark.measurements
    everywhere = decide(artifacts, records.engines.engines, measurements, size, vars(release.min_speedup))
    decisions = for_receivers(everywhere, release.runtimes, release.files)
    reasons = failed_gates(decisions, artifacts, release)
    table, contract = ClassTable.load(classes), {}
    with _replacing_folder(folders.out) as bundle:
        if not reasons:
            shipped = _copy_graphs(artifacts, decisions, folders, bundle)
            targets = [target for target in all_targets() if target.decided_with in release.runtimes]
            if any(target.suffix == ".engine" for target in targets):
                _copy_engines(records.engines.engines, folders.engines, bundle)
            copy_code([*COMMON_FILES, *(file for target in targets for file in target.bundle_files)], bundle)
            graphs = _golden_graphs(shipped, artifacts, folders)
            golden = write_golden(read_samples(samples, split)[0], size, graphs, shipped, parity, bundle)
            contract = release_contract(name, size, decisions, golden, vars(release.min_speedup)).record()
            write_json(bundle / CONTRACT, contract)
            if release.servers:
                _write_servers(contract, table, golden.image, bundle)
            write_bill(name, bundle)
        table.save(bundle / CLASSES)
        listed = records.quantization.calibration.sha256
        copy_measured(folders.quantize / "calibration.csv", listed, bundle / "calibration.csv")
        write_yaml(bundle / "numerics.yaml", asdict(numerics(name, records, decisions, reasons, samples, origin.files)))
        write_yaml(bundle / "perf.yaml", asdict(performance(records, decisions)))
        card = render_card(
            name, run, table.dataset, records, baseline, teacher, decisions, reasons, contract, release, origin,
            signing_key is not None,
        )  # fmt: skip
        write_text(bundle / "card.md", card)
        write_record(bundle / MANIFEST, manifest(name, reasons, bundle))
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


def manifest(name: str, reasons: Sequence[str], bundle: Path) -> Manifest:
    """List every file in the bundle but the manifest itself, and what became of the run."""
    paths = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name not in (MANIFEST, SIGNATURE))
    return Manifest(
        format=FORMAT,
        run=name,
        status="rejected" if reasons else "released",
        reasons=list(reasons),
        tools={tool: _version(tool) for tool in TOOLS},
        files=[
            ReleasedFile(path=path.relative_to(bundle).as_posix(), bytes=path.stat().st_size, sha256=sha256(path))
            for path in paths
        ],
    )


class Provenance(NamedTuple):
    """What dvc.lock says went into a run's checkpoint."""

    files: list[dict[str, str]]  # stage, kind (deps or outs), path and md5 of each
    parameters: dict[str, Any]  # of the student stage, defaults included


def provenance(lock: Path, name: str) -> Provenance:
    """Read from the lock file what made the run's checkpoint.

    Raises:
        ArtifactError: no lock file, a damaged one, or one that does not know the stages that made the checkpoint.
    """
    if not lock.is_file():
        raise ArtifactError(f"no {lock}, which says what made this model; run `dvc repro`")
    try:
        stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"]
        student = f"student-{name}"
        if missing := [stage for stage in ("prepare", "curate", student) if stage not in stages]:
            raise ArtifactError(f"{lock} does not know the stages {', '.join(missing)}; run `dvc repro`")
        needed = {str(entry["path"]) for entry in stages[student].get("deps", [])}
        used = ["prepare", "curate", *(stage for stage, out in OPTIONAL_STAGES.items() if out in needed), student]
        files = [
            {"stage": stage, "kind": kind, "path": str(entry["path"]), "md5": str(entry["md5"])}
            for stage in used
            for kind in ("deps", "outs")
            for entry in stages[stage].get(kind, [])
            if "md5" in entry  # files in git have none
        ]
        return Provenance(files, stages[student].get("params", {}).get(RESOLVED, {}).get(student, {}))
    except (YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{lock} cannot be read ({error}); get it back from git, or run `dvc repro`") from error


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


def copy_measured(source: Path, expected_sha256: str, target: Path) -> None:
    """Copy a file; what is released must be what was measured.

    Raises:
        ArtifactError: the file is missing or has other bytes.
    """
    if not source.is_file() or sha256(source) != expected_sha256:
        raise ArtifactError(f"{source} is missing or is not the file that was measured; run `dvc repro`")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_engines(built: Sequence[Engine], engines: Path, bundle: Path) -> None:
    """Copy what was built, each engine with its description, unless it ran and was over its budget."""
    for engine in built:
        if engine.status == "built" and engine.accepted is not False:
            copy_measured(engines / engine.file, engine.sha256, bundle / "engines" / engine.file)
            description = engines / f"{engine.file}.json"
            if not description.is_file():
                raise ArtifactError(
                    f"{description} is missing, so nobody could say what the engine is for; run dvc repro"
                )
            shutil.copyfile(description, bundle / "engines" / description.name)


def copy_code(files: Sequence[str], bundle: Path) -> None:
    """Copy what receivers run: the wheel, the check that needs nothing else, and a launcher for each command."""
    build_wheel(bundle)
    shutil.copyfile(PACKAGE / "verify.py", bundle / "verify.py")
    for name in dict.fromkeys(files):
        source, target = BUNDLE_FILES / name, bundle / name
        target.parent.mkdir(exist_ok=True)
        if source.is_file():
            shutil.copyfile(source, target)
        else:
            launcher = (BUNDLE_FILES / "launcher.py").read_text(encoding="utf-8")
            target.write_text(launcher.replace("VERSION", runtime_version()), encoding="utf-8")
        target.chmod(0o755 if target.suffix == ".sh" else 0o644)


def _golden_graphs(shipped: Sequence[Artifact], artifacts: Sequence[Artifact], folders: Folders) -> dict[str, Path]:
    """The graph that says what each precision's labels should be: on the CPU, where all of them can be run."""
    full = [artifact for artifact in artifacts if artifact.precision == "fp32"]
    on_cpu = [artifact for artifact in shipped if "onnxruntime" in artifact.runtimes]
    chosen = sorted([*full, *on_cpu], key=lambda artifact: PRECISIONS.index(artifact.precision))
    return {artifact.precision: _source(artifact, folders) for artifact in chosen}


def _write_servers(contract: dict[str, Any], table: ClassTable, image: np.ndarray, bundle: Path) -> None:
    """Write a folder for each receiver, if a file is released for a runtime that Triton has a backend for."""
    for choice in contract["runtimes"]:
        if backend := load_target(choice["runtime"]).triton_backend:
            served = Served(contract, choice["precision"], backend, bundle / choice["model"], image, table)
            for write in RECEIVERS.values():
                resolve_name(write)(served, bundle)


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
