"""A whole small profile as the other stages would leave it: 11 classes, 6 test images, 4 runs, made-up numbers."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.samples import Sample, read_samples, write_samples
from pipeline.inspection.records import InspectedSample, Mistake, NetworkScores, write_inspected
from pipeline.params.deployment import ReportParams
from pipeline.params.runs import PruneParams, RunParams
from pipeline.params.training import NetworkParams, WeightsParams
from pipeline.reporting.inputs import Folders
from pipeline.reporting.report import write_report
from tests.reporting.release_records import write_deployed

CLASSES = {
    "sky": (128, 128, 128), "building": (128, 0, 0), "pole": (192, 192, 128), "road": (128, 64, 128),
    "sidewalk": (0, 0, 192), "tree": (128, 128, 0), "sign": (192, 128, 128), "fence": (64, 64, 128),
    "car": (64, 0, 128), "pedestrian": (64, 64, 0), "bicyclist": (0, 128, 192),
}  # fmt: skip
NAMES = list(CLASSES)
MIOU = {
    "teacher": 0.631, "pspnet_r18": 0.521, "pspnet_r18_gdd": 0.547, "deeplabv3_r18": 0.538, "deeplabv3_r18_gdd": 0.532,
}  # fmt: skip
TEST_IDS = [f"0001TP_{i:05d}" for i in range(6)]


class FakeProfile(NamedTuple):
    """Where it lies and the params it was made with."""

    root: Path
    folders: Folders
    report: ReportParams
    runs: dict[str, RunParams]

    @property
    def out(self) -> Path:
        return self.root / "reports"


def image_score(name: str, place: int) -> float:
    """mIoU of a network on the test image at that place: the third is the best, the fifth the worst."""
    return MIOU[name] + (0.01, -0.03, 0.2, 0.05, -0.25, 0.02)[place]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> FakeProfile:
    """The profile as the stages left it, made once; for tests that change nothing in it."""
    root = tmp_path_factory.mktemp("profile")
    runs = {
        "pspnet_r18": _run("pspnet", {}, "pspnet_r18"),
        "pspnet_r18_gdd": _run("pspnet", {"gdd": 145.0}, "pspnet_r18"),
        "deeplabv3_r18": _run("deeplabv3", {}, "deeplabv3_r18"),
        "deeplabv3_r18_gdd": _run("deeplabv3", {"gdd": 175.0}, "deeplabv3_r18"),
    }
    folders = _folders(root)
    rng = np.random.default_rng(0)
    labels = _write_dataset(root, folders, rng)
    for name in MIOU:
        _write_judged(folders, name, runs.get(name), labels, rng)
    for name in runs:
        write_deployed(folders, name, MIOU[name])
    _write_inspected(folders, runs, rng)
    return FakeProfile(root, folders, ReportParams(title="Made-up streets", examples=1), runs)


@pytest.fixture(scope="session")
def written(pristine: FakeProfile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report; for tests that change nothing in it."""
    out = tmp_path_factory.mktemp("reports")
    write_report(pristine.report, pristine.runs, "test", 2, pristine.folders, out)
    return out


@pytest.fixture
def profile(pristine: FakeProfile, tmp_path: Path) -> FakeProfile:
    """A copy that a test may damage."""
    root = tmp_path / "profile"
    shutil.copytree(pristine.root, root)
    for listing in ("data/curated/samples.csv", "artifacts/inspection/samples.jsonl"):
        text = (root / listing).read_text()
        (root / listing).write_text(text.replace(str(pristine.root), str(root)))
    return pristine._replace(root=root, folders=_folders(root))


def _folders(root: Path) -> Folders:
    return Folders(
        prepared=root / "data/prepared",
        curated=root / "data/curated",
        teacher=root / "artifacts/teacher",
        students=root / "artifacts/students",
        evaluation=root / "artifacts/evaluation",
        release=root / "artifacts/release",
        inspection=root / "artifacts/inspection",
        metrics=root / "reports/metrics",
    )


def _run(architecture: Any, distill: dict[str, float], baseline: str) -> RunParams:
    network = NetworkParams(
        architecture=architecture, backbone="resnet18_v1c", weights=WeightsParams(source="none", file="", sha256=""),
        input_scale=1.0, output_stride=8, head_channels=128, auxiliary_channels=64,
    )  # fmt: skip
    return RunParams(
        network=network,
        prune=PruneParams(source="teacher", keep=1.0),
        distill=distill,
        momentum_shift=0.0,
        inherit_layers=False,
        unlabelled_share=0.0,
        baseline=baseline,
        iterations=250,
        learning_rate=0.05,
        seed=0,
    )


def _write_dataset(root: Path, folders: Folders, rng: np.random.Generator) -> dict[str, np.ndarray]:
    table = ClassTable(
        "made-up", tuple(LabelClass(name, color, (i,)) for i, (name, color) in enumerate(CLASSES.items())), (11,)
    )
    table.save(folders.prepared / "classes.json")
    (root / "raw").mkdir()
    labels, samples = {}, []
    for sample_id in TEST_IDS:
        mask = _scene(rng)
        image = np.clip(table.palette()[mask] * 0.7 + rng.normal(60, 14, (96, 144, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(root / "raw" / f"{sample_id}.png")
        Image.fromarray(mask).save(root / "raw" / f"{sample_id}_labels.png")
        path = root / "raw" / sample_id
        samples.append(
            Sample(sample_id, "test", "0001TP", path.with_suffix(".png"), Path(f"{path}_labels.png"), "", "")
        )
        labels[sample_id] = mask
    write_samples(folders.curated / "samples.csv", samples)
    pixels = np.array([6e6, 8e6, 3e5, 1e7, 1.6e6, 4e6, 4e5, 5e5, 2e6, 2.4e5, 9e4])
    splits = {
        split: {
            "samples": samples,
            "sequences": sequences,
            "pixels": (pixels * samples / 192 * rng.uniform(0.7, 1.3, 11)).astype(int).tolist(),
            "void_pixels": 10_000 * samples,
            "samples_with_class": [samples] * 11,
        }
        for split, samples, sequences in (("train", 192, 24), ("val", 32, 4), ("test", 6, 1))
    }
    leakage = {
        "policy": "warn",
        "distance": 0.01,
        "pairs": {"train/val": 0, "train/test": 2, "val/test": 0},
        "evaluation_samples_affected": {"val": 0, "test": 2},
        "shared_sequences": {"train/val": [], "train/test": ["0001TP"], "val/test": []},
        "nearest": [{"a": "0001TP_006690", "b": "Seq05VD_f05100", "distance": 0.004}],
    }
    rejected_counts = {"missing_mask": 1, "leakage": 2}
    statistics = {
        "classes": NAMES, "splits": splits, "policies": {}, "found": {}, "rejected": rejected_counts,
        "leakage": leakage,
    }  # fmt: skip
    write_record(folders.curated / "statistics.json", statistics)
    return labels


def _write_judged(
    folders: Folders, name: str, run: RunParams | None, labels: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    iou = np.clip(MIOU[name] + np.linspace(0.3, -0.3, 11) + rng.normal(0, 0.03, 11), 0.02, 0.98)
    values: list[float | None] = [round(float(v), 4) for v in iou]
    values[10] = None  # no bicyclist in the split
    evaluation = {
        "name": name,
        "architecture": run.network.architecture if run else "pspnet",
        "backbone": run.network.backbone if run else "resnet34",
        "backbone_weights": "none (from scratch)",
        "method": run.method if run else "none",
        "weights": run.distill if run else {},
        "seed": 0,
        "precision": "fp32",
        "split": "test",
        "images": len(TEST_IDS),
        "miou": MIOU[name],
        "pixel_accuracy": MIOU[name] + 0.28,
        "iou_per_class": dict(zip(NAMES, values, strict=True)),
        "predicted_absent": {"bicyclist": 1234},
        "parameters": 12_400_000 if run else 23_900_000,
        "gmacs": 6.21 if run else 19.8,
        "input": [96, 144],
    }
    write_record(folders.metrics / "evaluate" / f"{name}.json", evaluation)
    folder = folders.evaluation / name
    counts = (rng.uniform(0, 60, (11, 11)) + np.diag(np.full(11, 900.0))).astype(int)
    counts[9, 8] = 700
    write_rows(
        folder / "confusion.csv", [("label", *NAMES), *((n, *r.tolist()) for n, r in zip(NAMES, counts, strict=True))]
    )
    scores = [(sample_id, f"{image_score(name, place):.6f}", "0.9") for place, sample_id in enumerate(TEST_IDS)]
    write_rows(folder / "per_image.csv", [("id", "miou", "pixel_accuracy"), *scores])
    (folder / "predictions").mkdir()
    for sample_id, mask in labels.items():
        wrong = rng.random(mask.shape) > MIOU[name] + 0.3
        prediction = np.where(wrong | (mask == 255), rng.integers(0, 11, mask.shape), mask).astype(np.uint8)
        Image.fromarray(prediction).save(folder / "predictions" / f"{sample_id}.png")
    trained = folders.students / name if run else folders.teacher
    header = ("iteration", "learning_rate", "total", "task", "auxiliary", "distill", "agreement", "iterations_per_s")
    rows = [_curve_row(i, run is not None and run.method != "none", rng) for i in range(10, 251 if run else 601, 10)]
    write_rows(trained / "training.csv", [header, *rows])


def _curve_row(iteration: int, distilled: bool, rng: np.random.Generator) -> Sequence[object]:
    task = 2.4 * np.exp(-iteration / 120) + 0.35 + rng.normal(0, 0.05)
    distill = 3.1 * np.exp(-iteration / 200) + 0.6 + rng.normal(0, 0.04)
    agreement = 0.9 - 0.5 * np.exp(-iteration / 90) + rng.normal(0, 0.02)
    watched = (f"{distill:.6g}", f"{agreement:.6g}") if distilled else ("", "")
    return (iteration, 0.05, task * 1.4, task, task * 0.4, *watched, 3.4)


def _write_inspected(folders: Folders, runs: dict[str, RunParams], rng: np.random.Generator) -> None:
    """The test split, an unlabelled image, and two rejected samples, of which one cannot be read."""
    samples = read_samples(folders.curated / "samples.csv")
    inspected = [_inspected(sample, place, folders, runs, rng) for place, sample in enumerate(samples)]
    box = Mistake(label="car", prediction="road", pixels=280, score=0.02, box=(20, 30, 28, 10))
    small = replace(box, label="sky", pixels=60, score=0.004, box=(0, 0, 9, 8))
    inspected[3] = replace(inspected[3], mistake_score=0.02, mistakes=[small, box])
    inspected[1] = replace(inspected[1], mistake_score=0.004, mistakes=[small])
    alone = {"mask": None, "mistake_score": None, "mistakes": []}
    nobody = replace(inspected[0].networks["teacher"], miou=None, pixel_accuracy=None, boundary_error=None)
    inspected.append(
        replace(inspected[0], id="0016E5_1", split="unlabelled", hardness=0.9, networks={"teacher": nobody}, **alone)
    )
    dropped = replace(inspected[0], decision="drop", hardness=None, position=None, networks={}, **alone)
    leak = {"rules": ["leakage"], "reasons": ["0.004 from 0001TP_006690 of split train"]}
    inspected += [
        replace(dropped, id="Seq05VD_f05100", **leak),
        replace(dropped, id="Seq05VD_f05130", **leak),
        replace(dropped, id="0016E5_00390", split="train", image="b.png", size=None, rules=["unreadable_image"],
                reasons=["no picture at all"]),
    ]  # fmt: skip
    write_inspected(folders.inspection / "samples.jsonl", inspected)


def _inspected(
    sample: Sample, place: int, folders: Folders, runs: dict[str, RunParams], rng: np.random.Generator
) -> InspectedSample:
    scores = {name: image_score(name, place) + rng.normal(0, 0.02) for name in MIOU}
    networks = {
        name: NetworkScores(
            prediction=str(folders.evaluation / name / "predictions" / f"{sample.id}.png"),
            miou=score,
            pixel_accuracy=0.9,
            boundary_error=0.4,
            agreement=rng.uniform(0.6, 0.95) if name in runs else None,
            gain=score - scores[runs[name].baseline] if name in runs and runs[name].baseline != name else None,
        )
        for name, score in scores.items()
    }
    x, y = rng.normal(size=2).tolist()
    return InspectedSample(
        id=sample.id, split=sample.split, sequence=sample.sequence, image=str(sample.image), mask=str(sample.mask),
        image_sha256="", mask_sha256="", size=(96, 144), decision="keep", rules=[], reasons=[],
        hardness=0.1 + 0.05 * place, mistake_score=0.0, mistakes=[], position=(x, y), networks=networks,
    )  # fmt: skip


def _scene(rng: np.random.Generator) -> np.ndarray:
    """Train ids (96, 144): sky, buildings, road, a few boxes, and an unlabelled strip."""
    mask = np.zeros((96, 144), np.uint8)
    mask[30:60], mask[60:] = 1, 3
    for train_id in (2, 4, 5, 6, 7, 8, 9, 10):
        top, left = rng.integers(20, 70), rng.integers(0, 120)
        mask[top : top + rng.integers(8, 26), left : left + rng.integers(6, 26)] = train_id
    mask[-6:] = 255
    return mask


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_record(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
