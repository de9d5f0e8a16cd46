"""Scores of a network on validation images during its training, and the weights of the best score."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save_file

from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import read_image, read_labels
from pipeline.data.samples import Sample
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.training.prediction import predicted_labels

FALLS = 3  # validations in a row without a better score, after which a training prints a warning


class Validated(NamedTuple):
    """The score of the network after `iteration` iterations."""

    iteration: int
    miou: float  # 0..1, on the images of split val


class Validation:
    """Scores the network on `samples` and keeps the weights of its best score in `folder`, also if training is killed.

    It does not change the training: it draws no random number and updates no statistic.
    """

    def __init__(self, segmenter: Segmenter, samples: Sequence[Sample], classes: ClassTable, every: int, folder: Path):
        self.segmenter, self.samples, self.classes, self.every, self.folder = segmenter, samples, classes, every, folder
        self.scores: list[Validated] = []

    @property
    def best(self) -> Validated:
        """Return the highest score; the first of equal ones."""
        return max(self.scores, key=lambda score: score.miou)

    @property
    def in_words(self) -> str:
        """Return in words which score was chosen, and from how many."""
        best = self.best
        return f"iteration {best.iteration}: {100 * best.miou:.2f} % mIoU on val, the best of {len(self.scores)} scores"

    def resume(self, iteration: int) -> None:
        """Read the scores up to this iteration; the resumed training will find later ones again."""
        path = self.folder / "validation.csv"
        rows = csv.DictReader(path.read_text().splitlines()) if path.is_file() else []
        scores = [Validated(int(row["iteration"]), float(row["miou"])) for row in rows]
        self.scores = [score for score in scores if score.iteration <= iteration]

    def judge(self, iteration: int) -> str:
        """Score the network in its current state; return the result in words."""
        matrix = ConfusionMatrix(len(self.classes.classes))
        for sample in self.samples:
            image = read_image(sample.image, sample.image_sha256)
            matrix.add(read_labels(sample, self.classes), predicted_labels(self.segmenter, image))
        self.scores.append(Validated(iteration, matrix.miou()))
        self.write(self.folder / "validation.csv")
        if self.best.iteration == iteration:
            weights = {name: tensor.contiguous().cpu() for name, tensor in self.segmenter.state_dict().items()}
            with replacing(self._weights(iteration)) as temporary:
                save_file(weights, temporary)
        return standing(self.scores)

    def forget(self) -> None:
        """Remove the weights of earlier best scores; call it when a state after the best score is saved."""
        kept = self._weights(self.best.iteration) if self.scores else None
        for path in self.folder.glob("best-*.safetensors"):
            if path != kept:
                path.unlink()

    def write(self, path: Path) -> None:
        """Write one CSV row for each score."""
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([Validated._fields, *((iteration, repr(miou)) for iteration, miou in self.scores)])

    @contextmanager
    def best_weights(self) -> Iterator[None]:
        """Give the network the weights of its best score inside this block."""
        last = {name: tensor.clone() for name, tensor in self.segmenter.state_dict().items()}
        self.segmenter.load_state_dict(load_file(self._weights(self.best.iteration)))
        try:
            yield
        finally:
            self.segmenter.load_state_dict(last)

    def _weights(self, iteration: int) -> Path:
        return self.folder / f"best-{iteration}.safetensors"


def standing(scores: Sequence[Validated]) -> str:
    """Return the last score in words, compared with the best one."""
    last, best = scores[-1], max(scores, key=lambda score: score.miou)
    said = f"val {100 * last.miou:.1f} % mIoU"
    if best is last:
        return f"{said}, the best so far"
    points = 100 * (best.miou - last.miou)
    said += f", {points:.1f} points below the {100 * best.miou:.1f} of iteration {best.iteration}"
    below = len(scores) - 1 - scores.index(best)
    return f"{said}; WARNING: no better score in {below} validations" if below >= FALLS else said
