"""A profile as stage inspect leaves it: toy pictures, a teacher, a baseline and a student, and two rejected samples."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pipeline.curation.review import Remark, write_review
from pipeline.data.files import sha256
from pipeline.inspection.inputs import Inputs, load_inputs
from pipeline.inspection.records import InspectedSample, Mistake, NetworkScores, write_inspected
from tests.toy import TOY_CLASSES, toy_pair

HEIGHT, WIDTH = 96, 128
SPLITS = ("train", "train", "val", "test", "unlabelled")
BASELINE, STUDENT = "pspnet_none", "pspnet_gdd"
ERRORS = {"teacher": 0.02, BASELINE: 0.3, STUDENT: 0.1}
"""Share of the columns in which a network is wrong."""


class Paths(NamedTuple):
    """Of what the App reads, and where it draws."""

    samples: Path
    classes: Path
    review: Path
    scratch: Path


class ToyProfile:
    """Samples toy_0 to toy_4, one of each of SPLITS; twin (rejected, readable) and broken (no image)."""

    def __init__(self, root: Path):
        self.root = root
        self.paths = Paths(
            samples=root / "artifacts/inspection/samples.jsonl",
            classes=root / "data/prepared/classes.json",
            review=root / "review.csv",
            scratch=root / "scratch/inspect",
        )
        TOY_CLASSES.save(self.paths.classes)
        self.samples = [self._draw(index, split) for index, split in enumerate(SPLITS)]
        self.samples += [self._rejected("twin", readable=True), self._rejected("broken", readable=False)]
        self.write()
        self.review()

    def write(self, **changes: object) -> None:
        """Write samples.jsonl, with changes to the first sample."""
        self.samples[0] = replace(self.samples[0], **changes)  # type: ignore[reportArgumentType]
        write_inspected(self.paths.samples, self.samples)

    def review(self, *verdicts: tuple[str, str]) -> None:
        """Write review.csv: pairs of sample id and verdict."""
        write_review(self.paths.review, [self.remark(sample, verdict) for sample, verdict in verdicts])

    def remark(self, sample: str, verdict: str) -> Remark:
        found = next(s for s in self.samples if s.id == sample)
        return Remark(sample, verdict, found.image_sha256, found.mask_sha256)

    def inputs(self) -> Inputs:
        return load_inputs(*self.paths)

    def _draw(self, index: int, split: str) -> InspectedSample:
        image, labels = toy_pair(index, HEIGHT, WIDTH)
        name = f"toy_{index}"
        labelled = split != "unlabelled"
        image_file = self._write_png(f"data/raw/{name}.png", image)
        mask_file = self._write_png(f"data/raw/{name}_mask.png", labels) if labelled else None
        return InspectedSample(
            id=name,
            split=split,
            sequence=f"drive_{index // 2}",
            image=f"data/raw/{name}.png",
            mask=f"data/raw/{name}_mask.png" if labelled else None,
            image_sha256=sha256(image_file),
            mask_sha256="" if mask_file is None else sha256(mask_file),
            size=(HEIGHT, WIDTH),
            decision="keep",
            rules=[],
            reasons=[],
            hardness=round(0.1 + 0.1 * index, 2),
            mistake_score=(0.0 if index else 0.87) if labelled else None,
            mistakes=[]
            if index
            else [Mistake(label="ground", prediction="pond", pixels=600, score=0.87, box=(10, 20, 30, 20))],
            position=(float(index), float(index % 2)),
            networks={network: self._scores(network, name, labels, labelled, index) for network in ERRORS},
        )

    def _scores(self, network: str, name: str, labels: np.ndarray, labelled: bool, index: int) -> NetworkScores:
        prediction = np.where(labels == 255, 0, labels)
        wrong = round(WIDTH * ERRORS[network])
        prediction[:, :wrong] = (prediction[:, :wrong] + 1) % 3
        file = f"artifacts/predictions/{network}/{name}.png"
        self._write_png(file, prediction.astype(np.uint8))
        return NetworkScores(
            prediction=file,
            miou=1 - ERRORS[network] if labelled else None,
            pixel_accuracy=1 - ERRORS[network] if labelled else None,
            boundary_error=0.2 if labelled else None,
            agreement=None if network == "teacher" else 1 - ERRORS[network] / (1 + index),
            gain=round(0.1 * (index - 1), 2) if network == STUDENT and labelled else None,
        )

    def _rejected(self, name: str, readable: bool) -> InspectedSample:
        file = self.root / f"data/raw/{name}.png"
        if readable:
            self._write_png(f"data/raw/{name}.png", toy_pair(0, HEIGHT, WIDTH)[0])
        else:
            file.write_bytes(b"no picture at all")
        return InspectedSample(
            id=name,
            split="train",
            sequence=name,
            image=f"data/raw/{name}.png",
            mask=f"data/raw/{name}_mask.png",
            image_sha256=sha256(file),
            mask_sha256="",
            size=(HEIGHT, WIDTH) if readable else None,
            decision="drop",
            rules=["exact_duplicate" if readable else "unreadable_image"],
            reasons=["same pixels as toy_0" if readable else "cannot identify image file"],
            hardness=None,
            mistake_score=None,
            mistakes=[],
            position=None,
            networks={},
        )

    def _write_png(self, name: str, pixels: np.ndarray) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        return file
