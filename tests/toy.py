"""A toy that every test may use: colored rectangles as a dataset, and networks of a few channels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from models.build import Design, build_segmenter
from models.segmenter import Segmenter
from pipeline.code_digest import ROOT
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.files import sha256
from pipeline.data.samples import Sample, write_samples
from pipeline.params.training import TrainingParams
from pipeline.params.tree import load_params
from pipeline.records.curation import Leakage, SplitStatistics, Statistics
from pipeline.records.files import write_record
from pipeline.training.objective import Task

TOY_CLASSES = ClassTable(
    "toy",
    (
        LabelClass("ground", (90, 90, 90), (0,)),
        LabelClass("box", (200, 60, 60), (1,)),
        LabelClass("pond", (60, 60, 200), (2,)),
    ),
    (255,),
)
TOY_DESIGN = Design(
    architecture="pspnet",
    backbone="resnet10t",
    input_scale=1.0,
    output_stride=16,
    head_channels=16,
    auxiliary_channels=16,
    channels={},
    class_names=tuple(TOY_CLASSES.names),
)
TOY_TASK = Task(auxiliary_weight=0.4, mean="all_pixels", class_weights=None, image_scale=1.0)


def toy_segmenter(architecture: str = "pspnet") -> tuple[Segmenter, Design]:
    design = Design(**{**TOY_DESIGN.__dict__, "architecture": architecture})
    return build_segmenter(design), design


def toy_training(**changes: object) -> TrainingParams:
    """The default's, at the toy's size, in this process and in float32."""
    settled = {"crop_height": 48, "crop_width": 64, "batch_size": 4, "workers": 0, "log_every": 5, "precision": "fp32"}
    return replace(load_params(ROOT / "params.yaml").training, **{**settled, **changes})  # type: ignore[reportArgumentType]


def toy_pair(seed: int, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Ground with a red box and a blue pond somewhere, and a few unlabelled rows."""
    random = np.random.default_rng(seed)
    labels = np.zeros((height, width), dtype=np.uint8)
    for train_id in (1, 2):
        top, left = random.integers(0, height // 2), random.integers(0, width // 2)
        labels[top : top + height // 3, left : left + width // 3] = train_id
    image = TOY_CLASSES.palette()[labels].astype(int) + random.integers(-25, 25, size=(height, width, 3))
    labels[-2:] = 255
    return np.clip(image, 0, 255).astype(np.uint8), labels


def toy_statistics(names: Sequence[str], pixels: Mapping[str, list[int]]) -> Statistics:
    """What curation writes, as far as these counts of each split's classes say."""
    rest = {"samples": 1, "sequences": 1, "void_pixels": 0, "samples_with_class": [1 for _ in names]}
    splits = {split: SplitStatistics(pixels=counts, **rest) for split, counts in pixels.items()}
    leakage = Leakage(
        policy="warn", distance=0.0, pairs={}, evaluation_samples_affected={}, shared_sequences={}, nearest=[]
    )
    return Statistics(classes=list(names), splits=splits, policies={}, found={}, rejected={}, leakage=leakage)


def write_toy_samples(folder: Path, count: int = 8, sizes: Sequence[tuple[int, int]] = ((48, 64),)) -> Path:
    """Images, masks, classes.json, samples.csv, statistics.json; two samples are for validation, two for test.

    Images have these sizes (height, width) in turn.
    """
    samples, pixels = [], np.zeros(len(TOY_CLASSES.names), dtype=np.int64)
    for index in range(count):
        image, labels = toy_pair(index, *sizes[index % len(sizes)])
        split = {0: "val", 1: "val", 2: "test", 3: "test"}.get(index, "train")
        image_file, mask_file = folder / f"image_{index}.png", folder / f"mask_{index}.png"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(image_file)
        Image.fromarray(labels).save(mask_file)
        digests = sha256(image_file), sha256(mask_file)
        pixels += np.bincount(labels.ravel(), minlength=256)[: len(pixels)] * (split == "train")
        samples.append(Sample(f"toy_{index}", split, f"s{index}", image_file, mask_file, *digests))
    TOY_CLASSES.save(folder / "classes.json")
    write_samples(folder / "samples.csv", samples)
    write_record(folder / "statistics.json", toy_statistics(TOY_CLASSES.names, {"train": pixels.tolist()}))
    return folder / "samples.csv"
