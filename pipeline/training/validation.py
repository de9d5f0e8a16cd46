"""What a network scores on validation images while it learns, and the best of what it was so far."""

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

FALLS = 3  # validations below the best one, after which a training is warned of


class Validated(NamedTuple):
    """The network after so many iterations."""

    iteration: int
    miou: float  # 0..1, on the images of split val


class Validation:
    """Scores the network on `samples` and keeps the weights of its best score in `folder`, through kills too.

    Nothing of the training changes by it: no random number is drawn, no statistic is updated.
    """

    def __init__(self, segmenter: Segmenter, samples: Sequence[Sample], classes: ClassTable, every: int, folder: Path):
        self.segmenter, self.samples, self.classes, self.every, self.folder = segmenter, samples, classes, every, folder
        self.scores: list[Validated] = []

    @property
    def best(self) -> Validated:
        """The highest score; of equal ones the first."""
        return max(self.scores, key=lambda score: score.miou)

    @property
    def in_words(self) -> str:
        """What was chosen, and from what."""
        best = self.best
        return f"iteration {best.iteration}: {100 * best.miou:.2f} % mIoU on val, the best of {len(self.scores)} scores"

    def resume(self, iteration: int) -> None:
        """Go on after so many iterations: what was found later in the training that was killed will be found again."""
        path = self.folder / "validation.csv"
        rows = csv.DictReader(path.read_text().splitlines()) if path.is_file() else []
        scores = [Validated(int(row["iteration"]), float(row["miou"])) for row in rows]
        self.scores = [score for score in scores if score.iteration <= iteration]

    def judge(self, iteration: int) -> str:
        """Score the network as it is now; return a few words for whoever watches."""
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
        """Remove the weights of earlier bests: the state of the training that was just saved is after the best one."""
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
        """Give the network the weights of its best score, within this block."""
        last = {name: tensor.clone() for name, tensor in self.segmenter.state_dict().items()}
        self.segmenter.load_state_dict(load_file(self._weights(self.best.iteration)))
        try:
            yield
        finally:
            self.segmenter.load_state_dict(last)

    def _weights(self, iteration: int) -> Path:
        return self.folder / f"best-{iteration}.safetensors"


def standing(scores: Sequence[Validated]) -> str:
    """Tell the last of the scores, beside the best of them."""
    last, best = scores[-1], max(scores, key=lambda score: score.miou)
    said = f"val {100 * last.miou:.1f} % mIoU"
    if best is last:
        return f"{said}, the best so far"
    points = 100 * (best.miou - last.miou)
    said += f", {points:.1f} points below the {100 * best.miou:.1f} of iteration {best.iteration}"
    below = len(scores) - 1 - scores.index(best)
    return f"{said}; WARNING: {below} validations without a better one" if below >= FALLS else said
