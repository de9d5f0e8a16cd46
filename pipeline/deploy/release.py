"""Package one run as a bundle: decisions, files, contract, card, and a manifest with the hash of each file.

A run that fails a gate gets a bundle too, with the reasons and without a model.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256, write_json, write_text
from pipeline.data.samples import read_samples
from pipeline.deploy.bundle_code import copy_code
from pipeline.deploy.bundle_records import manifest, numerics, provenance
from pipeline.deploy.card import render_card
from pipeline.deploy.contract import release_contract, write_golden
from pipeline.deploy.decisions import decide, defaults, failed_gates, for_receivers
from pipeline.deploy.receivers import RECEIVERS
from pipeline.deploy.receivers.served import Served
from pipeline.deploy.requirements_lock import LICENSES, LOCK
from pipeline.deploy.sbom import BILL, bill_of_materials
from pipeline.deploy.signing import sign
from pipeline.errors import ArtifactError
from pipeline.params.deployment import ParityParams, ReleaseParams
from pipeline.params.runs import RunParams
from pipeline.records.artifacts import Artifact, Engine
from pipeline.records.files import write_record
from pipeline.records.release import Performance
from pipeline.records.run import read_evaluation, read_run
from segdistill_runtime.contract import CLASSES, CONTRACT
from segdistill_runtime.images import Resizing
from segdistill_runtime.precision_choice import PRECISIONS
from segdistill_runtime.targets.target import all_targets, load_target
from segdistill_runtime.verify import MANIFEST, SIGNATURE, verify

RESOURCES = ("receivers", "onnx_rules.py")  # loaded by name, not imported; they count in the digest of this code
COMMON_FILES = ("predict.py", "self_test.py", "requirements.txt", LOCK, LICENSES, "cpp/CMakeLists.txt", "cpp/main.cpp")


class Folders(NamedTuple):
    """The folders of one run's files, and those that its bundle is written to."""

    export: Path  # ONNX files of stage export
    quantize: Path  # ONNX files of stage quantize, and calibration.csv
    engines: Path
    metrics: Path  # holds evaluate/, export/, quantize/, engine/ and benchmark/
    out: Path  # the bundle
    reports: Path  # second copies of perf.yaml and numerics.yaml, for git

    def graph(self, artifact: Artifact) -> Path:
        return (self.quantize if artifact.precision == "int8" else self.export) / artifact.file


def package_release(
    name: str, run: RunParams, resizing: Resizing, split: str, parity: ParityParams, release: ReleaseParams,
    classes: Path, samples: Path, lock: Path, folders: Folders, signing_key: Path | None,
) -> None:  # fmt: skip
    """Decide which files are released, build the bundle in a temporary folder, verify it, and rename the folder.

    Args:
        resizing: resizing of the released graphs.
        split: the evaluation split; its first image becomes the golden image.
        lock: dvc.lock; the card takes the inputs of the checkpoint from it.
        signing_key: PEM file of an Ed25519 private key; without one the bundle is unsigned.

    Raises:
        ArtifactError: a measurement, a lock, a license or the key is missing or damaged, or a file is not the one that
            was measured.
    """
    records, origin = read_run(folders.metrics, name), provenance(lock, name)
    baseline, teacher = (read_evaluation(folders.metrics, other) for other in (run.baseline, "teacher"))
    artifacts, engines, speedup = records.artifacts, records.engines.engines, vars(release.min_speedup)
    everywhere = decide(artifacts, engines, records.benchmark.measurements, resizing.size, speedup)
    decisions = for_receivers(everywhere, release.runtimes, release.files)
    reasons = failed_gates(decisions, artifacts, records.evaluation.miou_scope, release)
    table, contract, signed = ClassTable.load(classes), {}, signing_key is not None
    with _replacing_folder(folders.out) as bundle:
        if not reasons:
            wanted = {decision.file for decision in decisions if decision.verdict != "rejected"}
            shipped = [artifact for artifact in artifacts if artifact.file in wanted]
            for artifact in shipped:
                copy_measured(folders.graph(artifact), artifact.sha256, bundle / artifact.file)
            targets = [target for target in all_targets() if target.decided_with in release.runtimes]
            if any(target.suffix == ".engine" for target in targets):
                _copy_engines(engines, folders.engines, bundle)
            copy_code([*COMMON_FILES, *(file for target in targets for file in target.bundle_files)], bundle)
            # The golden labels of each precision come from the CPU, where all graphs run.
            on_cpu = [each for each in artifacts if each.precision == "fp32"]
            on_cpu += [each for each in shipped if "onnxruntime" in each.runtimes]
            on_cpu.sort(key=lambda each: PRECISIONS.index(each.precision))
            graphs = {each.precision: folders.graph(each) for each in on_cpu}
            golden = write_golden(read_samples(samples, split)[0], resizing.size, graphs, shipped, parity, bundle)
            contract = release_contract(name, resizing, decisions, golden, speedup).record()
            write_json(bundle / CONTRACT, contract)
            if release.servers:
                _write_servers(contract, table, bundle)
            write_json(bundle / BILL, bill_of_materials(name, bundle))
        table.save(bundle / CLASSES)
        listed = records.quantization.calibration.sha256
        copy_measured(folders.quantize / "calibration.csv", listed, bundle / "calibration.csv")
        write_record(bundle / "numerics.yaml", numerics(records, decisions, reasons, samples, origin.files))
        write_record(bundle / "perf.yaml", Performance(**vars(records.benchmark), decisions=decisions))
        card = render_card(
            run, table.dataset, records, baseline, teacher, decisions, reasons, contract, release, origin, signed
        )
        write_text(bundle / "card.md", card)
        write_record(bundle / MANIFEST, manifest(name, reasons, bundle))
        if signing_key is not None:
            with replacing(bundle / SIGNATURE) as temporary:
                temporary.write_bytes(sign((bundle / MANIFEST).read_bytes(), signing_key))
        verify(bundle, None)  # a receiver verifies first, so this must pass
    for file in ("numerics.yaml", "perf.yaml"):
        write_text(folders.reports / file, (folders.out / file).read_text(encoding="utf-8"))
    for decision in decisions:
        print(f"{name} {decision.runtime} {decision.precision}: {decision.verdict}: {decision.reason}")
    if reasons:
        print(f"{name} is REJECTED: {'; '.join(reasons)}")
    else:
        best, scope = defaults(decisions)[0], records.evaluation.miou_scope
        print(f"{name} is released{'; mIoU' + scope if scope else ''}; fastest: {best.file} with {best.runtime}")
    if not signed:
        print(f"WARNING: {name} is NOT SIGNED: set SEGDISTILL_SIGNING_KEY to the path of a private key")


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`. On success it replaces `folder`; on failure it is removed."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy_measured(source: Path, expected_sha256: str, target: Path) -> None:
    """Copy a file; raise ArtifactError if it is missing or is not the file that was measured."""
    if not source.is_file() or sha256(source) != expected_sha256:
        raise ArtifactError(f"{source} is missing or is not the file that was measured; run `dvc repro`")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_engines(built: Sequence[Engine], engines: Path, bundle: Path) -> None:
    """Copy each built engine with its description, except those that ran and were over their budget."""
    for engine in (each for each in built if each.status == "built" and each.accepted is not False):
        copy_measured(engines / engine.file, engine.sha256, bundle / "engines" / engine.file)
        description = engines / f"{engine.file}.json"
        if not description.is_file():
            raise ArtifactError(f"{description} is missing, so the GPUs of the engine are unknown; run `dvc repro`")
        shutil.copyfile(description, bundle / "engines" / description.name)


def _write_servers(contract: dict[str, Any], table: ClassTable, bundle: Path) -> None:
    """Write the folders of all receivers for each runtime's fastest file, if Triton has a backend for the runtime."""
    for choice in contract["runtimes"]:
        if backend := load_target(choice["runtime"]).triton_backend:
            served = Served(contract, choice["precision"], backend, bundle / choice["model"], table)
            for write in RECEIVERS.values():
                resolve_name(write)(served, bundle)
