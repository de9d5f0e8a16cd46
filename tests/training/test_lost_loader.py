"""A loader process dies while the training is somewhere else: PyTorch tells of it there, and it is one message."""

import multiprocessing
import time
from pathlib import Path

from torch import Tensor

from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.errors import TrainingError
from pipeline.training.fabric import launch
from pipeline.training.loop import fit
from pipeline.training.objective import Loss, SupervisedObjective
from tests.raising import raises
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples

PATIENCE_S = 30


class Unlucky(SupervisedObjective):
    """Its loader processes are killed while it computes, and the news comes before it is done."""

    def compare(self, image: Tensor, labels: Tensor) -> Loss:
        for process in multiprocessing.active_children():
            process.kill()
        time.sleep(PATIENCE_S)  # ended by the signal's handler
        return super().compare(image, labels)


def test_a_loader_process_that_dies_during_a_step_is_one_message(tmp_path: Path) -> None:
    training = toy_training(workers=1, decoded_gib=0.0)
    samples = read_samples(write_toy_samples(tmp_path / "toy"), "train")
    with raises(TrainingError, "/dev/shm", "training.workers"):
        fit(
            Unlucky(toy_segmenter()[0], TOY_TASK), crop_dataset(samples, TOY_CLASSES, training, 0, tmp_path),
            training, launch(1, "fp32", False), name="toy", iterations=5, learning_rate=0.01, momentum_shift=0.0,
            scratch=tmp_path / "scratch",
        )  # fmt: skip
