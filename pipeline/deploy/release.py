"""Package one run for whoever will use it: files, contract, card, and a manifest with the hash of each."""

import json
import shutil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256, write_json, write_text
from pipeline.errors import SegdistillError
from pipeline.params import ExportParams, RunParams

BUNDLE = Path(__file__).parent / "bundle"


class ReleaseError(SegdistillError):
    """A bundle that cannot be made from what is there."""


def package_release(
    name: str,
    run: RunParams,
    export: ExportParams,
    classes: Path,
    graph: Path,
    engines: Path,
    metrics: Path,
    lock: Path,
    out: Path,
) -> None:
    """Build the bundle in a temporary folder and rename it to `out` when it is complete.

    Args:
        metrics: the folder that holds evaluate/, export/, engine/ and profile/.
        lock: dvc.lock, from which the card takes what produced the checkpoint.

    Raises:
        ReleaseError: a measurement is missing, or a file is not the one that was measured.
    """
    facts = {
        stage: _read_metrics(metrics / stage / f"{name}.json") for stage in ("evaluate", "export", "engine", "profile")
    }
    facts["baseline"] = _read_metrics(metrics / "evaluate" / f"{run.baseline}.json")
    facts["teacher"] = _read_metrics(metrics / "evaluate" / "teacher.json")
    _require_same_file(graph, facts["export"]["sha256"])

    staging = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    (staging / "engines").mkdir(parents=True)
    shutil.copyfile(graph, staging / "model.onnx")
    if facts["engine"]["fp16_onnx"] is not None:
        shutil.copyfile(engines / "model_fp16.onnx", staging / "model_fp16.onnx")
    for engine in facts["engine"]["engines"]:
        if engine["status"] == "built":
            _require_same_file(engines / engine["file"], engine["sha256"])
            shutil.copyfile(engines / engine["file"], staging / "engines" / engine["file"])
    for file in ("predict.py", "requirements.txt"):
        shutil.copyfile(BUNDLE / file, staging / file)
    ClassTable.load(classes).save(staging / "classes.json")
    write_json(staging / "preprocessing.json", preprocessing_contract(export))
    write_json(staging / "metrics.json", facts)
    write_text(staging / "card.md", _card(name, run, export, facts, provenance(lock, name)))
    write_json(staging / "manifest.json", manifest(name, staging))
    shutil.rmtree(out, ignore_errors=True)
    staging.rename(out)


def preprocessing_contract(export: ExportParams) -> dict[str, object]:
    """All that a client has to do to an image; the graph does the rest."""
    return {
        "model": "model.onnx",
        "input": "image",
        "output": "labels",
        "layout": "NHWC",
        "batch": 1,
        "height": export.height,
        "width": export.width,
        "color": "RGB",
        "type": "uint8",
        "resize": "bilinear to height x width",
        "normalization": "inside the graph: give raw pixel values 0..255",
        "output_meaning": "uint8 train id of each pixel, see classes.json; resize with nearest neighbor",
    }


def manifest(name: str, bundle: Path) -> dict[str, object]:
    """SHA-256 and size of every file in the bundle."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {
        "run": name,
        "status": "released",
        "reasons": [],
        "signed": False,
        "files": [
            {"path": path.relative_to(bundle).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in files
        ],
    }


def provenance(lock: Path, name: str) -> list[dict[str, str]]:
    """What the lock file says went into the run's checkpoint: path and hash of each dependency and output."""
    if not lock.is_file():
        raise ReleaseError(
            f"no {lock}: without it nobody could say what made this model; run the stages with dvc repro"
        )
    stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"]
    wanted = ("prepare", "curate", "teacher", f"student@{name}")
    missing = [stage for stage in wanted if stage not in stages]
    if missing:
        raise ReleaseError(f"{lock} does not know the stages {', '.join(missing)}; run dvc repro")
    return [
        {"stage": stage, "kind": kind, "path": entry["path"], "md5": entry["md5"]}
        for stage in wanted
        for kind in ("deps", "outs")
        for entry in stages[stage].get(kind, [])
        if "md5" in entry
    ]


def _card(name: str, run: RunParams, export: ExportParams, facts: dict[str, dict], origin: list[dict[str, str]]) -> str:
    environment = Environment(
        loader=FileSystemLoader(BUNDLE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("card.md.j2").render(name=name, run=run, size=export, origin=origin, **facts)


def _read_metrics(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ReleaseError(f"measurement {path} cannot be read ({error}); nothing is released unmeasured") from error


def _require_same_file(path: Path, expected: str) -> None:
    if not path.is_file() or sha256(path) != expected:
        raise ReleaseError(f"{path} is missing or is not the file that was measured; run dvc repro")
