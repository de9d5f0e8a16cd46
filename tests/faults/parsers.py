"""Everything of ours that reads files which others may have written, with good examples to start from."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from models.backbone import backbone_facts, save_backbone
from models.checkpoint import load_checkpoint, save_checkpoint
from models.classifier import load_classifier, new_classifier
from models.errors import ModelError
from pipeline.code_digest import ROOT
from pipeline.compare_releases import read_release
from pipeline.curation.review import Remark, read_review, write_review
from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image, read_mask
from pipeline.data.samples import Decision, read_decisions, read_samples, write_decisions
from pipeline.deploy.bundle_records import provenance
from pipeline.deploy.requirements_lock import LICENSES, LOCK, read_licenses, read_lock
from pipeline.errors import SegdistillError
from pipeline.inspection.records import read_inspected
from pipeline.params.tree import load_params
from pipeline.preparation.folder import read_classes
from pipeline.records.run import read_run
from pipeline.reporting.tables import read_confusion, read_curve, read_image_scores
from pipeline.training.objective import load_class_weights
from segdistill_runtime.contract import read_classes as read_bundle_classes
from segdistill_runtime.contract import read_contract
from segdistill_runtime.engine_file import Description, read_engine
from segdistill_runtime.errors import FileRefused
from segdistill_runtime.images import read_image as read_targets_image
from segdistill_runtime.onnx_file import require_plain_graph
from segdistill_runtime.targets.target import read_file
from segdistill_runtime.verify import BundleRefused, verify
from tests.deploy.release_material import RUN, Material, write_material
from tests.toy import TOY_CLASSES, toy_segmenter, toy_training, write_toy_samples

OURS = (SegdistillError, ModelError)
OF_BUNDLE = ("manifest.json", "preprocessing.json", "perf.yaml", "numerics.yaml", LOCK, LICENSES)


class Parser(NamedTuple):
    """One reader of one kind of file."""

    name: str
    file: str  # relative to the folder that `read` gets
    seeds: Sequence[bytes]  # good ones
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]  # all that it may raise


def all_parsers(folder: Path) -> list[Parser]:
    """In `folder` the examples are made; each parser reads from a folder of its own."""
    made, names, balanced = _examples(folder), TOY_CLASSES.names, toy_training(class_balance=0.5)

    def of_project(name: str, example: str, file: str, read: Callable[[Path], object]) -> Parser:
        return Parser(name, file, [made[example]], read, OURS)

    return [
        of_project("checkpoint", "checkpoint", "c.safetensors", lambda at: load_checkpoint(at / "c.safetensors")),
        of_project("backbone", "backbone", "b.safetensors", lambda at: backbone_facts(at / "b.safetensors")),
        of_project(
            "classifier", "classifier", "f.safetensors", lambda at: load_classifier("resnet10t", at / "f.safetensors")
        ),
        of_project("class table", "classes.json", "c.json", lambda at: ClassTable.load(at / "c.json").lookup()),
        of_project("own classes", "classes.yaml", "c.yaml", lambda at: read_classes(at / "c.yaml")),
        of_project("samples", "samples.csv", "s.csv", lambda at: read_samples(at / "s.csv", "train")),
        of_project("decisions", "decisions.csv", "d.csv", lambda at: read_decisions(at / "d.csv")),
        of_project("review", "review.csv", "r.csv", lambda at: read_review(at / "r.csv")),
        of_project(
            "counts", "statistics.json", "s.json", lambda at: load_class_weights(at / "s.json", names, balanced)
        ),
        of_project("inspected", "inspected", "i.jsonl", lambda at: read_inspected(at / "i.jsonl")),
        of_project("parameters", "params.yaml", "p.yaml", lambda at: load_params(at / "p.yaml")),
        of_project("lock", "dvc.lock", "dvc.lock", lambda at: provenance(at / "dvc.lock", RUN)),
        of_project("packages", LOCK, LOCK, lambda at: read_lock(at / LOCK)),
        of_project("licenses", LICENSES, LICENSES, lambda at: read_licenses(at / LICENSES)),
        of_project("curve", "training.csv", "t.csv", lambda at: read_curve(at / "t.csv", "student")),
        of_project("scores", "scores.csv", "s.csv", lambda at: read_image_scores(at / "s.csv", "evaluate")),
        of_project("confusion", "confusion.csv", "c.csv", lambda at: read_confusion(at / "c.csv", "evaluate", "ab")),
        Parser("image", "i.png", [made["image"], made["jpeg"]], lambda at: read_image(at / "i.png"), OURS),
        of_project("mask", "mask", "m.png", lambda at: read_mask(at / "m.png")),
        *_of_records(folder, made),
        Parser("release", "perf.yaml", [made["perf.yaml"]], lambda at: read_release(str(at)), OURS),
        Parser("manifest", "manifest.json", [made["manifest.json"]], lambda at: verify(at, None), (BundleRefused,)),
        Parser(
            "contract", "p.json", [made["preprocessing.json"]],
            lambda at: read_contract((at / "p.json").read_bytes()), (FileRefused,),
        ),
        Parser(
            "bundle's classes", "c.json", [made["classes.json"]],
            lambda at: read_bundle_classes((at / "c.json").read_bytes()), (FileRefused,),
        ),
        Parser(
            "graph", "g.onnx", [made["graph"]],
            lambda at: require_plain_graph("g.onnx", (at / "g.onnx").read_bytes()), (FileRefused,),
        ),
        Parser("target image", "i.png", [made["image"]], lambda at: read_targets_image(at / "i.png"), (FileRefused,)),
        Parser("engine", "e.engine.json", [made["engine"]], _read_engine, (FileRefused,)),
    ]  # fmt: skip


def _of_records(folder: Path, made: dict[str, bytes]) -> list[Parser]:
    """The metrics of each stage, beside the good ones of all others."""
    metrics = Material(folder / "material").root / "reports/metrics"
    others = {path.relative_to(metrics): path.read_bytes() for path in metrics.rglob("*.json")}

    def read(at: Path) -> object:
        for name, data in others.items():
            if not (at / name).exists():
                (at / name).parent.mkdir(parents=True, exist_ok=True)
                (at / name).write_bytes(data)
        return read_run(at, RUN)

    stages = ("evaluate", "export", "quantize", "engine", "benchmark")
    return [
        Parser(f"metrics of {stage}", f"{stage}/{RUN}.json", [others[Path(stage) / f"{RUN}.json"]], read, OURS)
        for stage in stages
    ]


def _read_engine(at: Path) -> object:
    (at / "e.engine").write_bytes(b"ftrt" + bytes(60))
    return read_engine(str(at / "e.engine"), read_file)


def _examples(folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    toy = folder / "toy"
    samples = write_toy_samples(toy)
    segmenter, design = toy_segmenter()
    save_checkpoint(segmenter, design, {"backbone_weights": "none"}, folder / "checkpoint")
    classifier = new_classifier("resnet10t", 3)
    save_backbone(classifier.backbone, {"weights": "none"}, folder / "backbone")
    _save_classifier(classifier, folder / "classifier")
    listed = read_samples(samples)
    write_decisions(folder / "decisions.csv", [Decision(sample, "keep", (), ()) for sample in listed])
    write_review(folder / "review.csv", [Remark(listed[0].id, "drop", "0" * 64, "1" * 64)])
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(folder / "image", format="PNG")
    Image.open(folder / "image").save(folder / "jpeg", format="JPEG")
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(folder / "mask", format="PNG")
    bundle = write_material(folder / "material").release()
    description = Description(
        precision="fp32", backend="tensorrt", version="10.0", compute_capabilities=["SM86"], source_file="model.onnx",
        source_sha256="0" * 64, engine_sha256="0" * 64, bytes=64, builder={}, inputs=[], outputs=[], held_types={},
        timing_cache={}, built_on={},
    )  # fmt: skip
    classes = [{"name": c.name, "color": list(c.color), "ids": list(c.raw_ids)} for c in TOY_CLASSES.classes]
    texts = {
        "classes.yaml": json.dumps({"classes": classes, "void": [255]}),
        "training.csv": "iteration,task,distill,agreement\n10,1.5,0.5,0.1\n20,1.0,0.4,0.2\n",
        "scores.csv": "id,miou\na,0.5\nb,\n",
        "confusion.csv": "label,a,b\na,1,2\nb,3,4\n",
        "engine": json.dumps({"format": "segdistill-engine-1", **description._asdict()}),
        "inspected": _inspected(),
    }
    files = {
        "classes.json": toy / "classes.json",
        "samples.csv": samples,
        "statistics.json": toy / "statistics.json",
        "params.yaml": ROOT / "params.yaml",
        "dvc.lock": folder / "material/dvc.lock",
        "graph": bundle / "model.onnx",
        **{name: bundle / name for name in OF_BUNDLE},
        **{path.name: path for path in folder.iterdir() if path.is_file()},
    }
    return {name: path.read_bytes() for name, path in files.items()} | {k: v.encode() for k, v in texts.items()}


def _save_classifier(classifier: object, path: Path) -> None:
    from safetensors.torch import save_file

    backbone = {name: tensor.contiguous() for name, tensor in classifier.backbone.network.state_dict().items()}  # type: ignore[attr-defined]
    save_file({**backbone, "fc.weight": classifier.fc.weight, "fc.bias": classifier.fc.bias}, path)  # type: ignore[attr-defined]


def _inspected() -> str:
    judgement = {
        "prediction": "p.png", "miou": 0.5, "pixel_accuracy": 0.5, "boundary_error": None, "agreement": None,
        "gain": None,
    }  # fmt: skip
    region = {"label": "a", "prediction": "b", "pixels": 3, "score": 0.5, "box": [0, 0, 1, 1]}
    sample = {
        "id": "a", "split": "train", "sequence": "s", "image": "a.png", "mask": None, "image_sha256": "",
        "mask_sha256": "", "size": [2, 3], "decision": "keep", "rules": [], "reasons": [], "hardness": 0.1,
        "mistake_score": 0.0, "mistakes": [region], "position": [0.0, 1.0], "networks": {"teacher": judgement},
    }  # fmt: skip
    return json.dumps(sample) + "\n" + json.dumps(sample | {"id": "b"}) + "\n"
