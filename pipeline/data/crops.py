"""Load endless batches of random crops for training."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from pipeline.data.augmentation import augment
from pipeline.data.classes import ClassTable
from pipeline.data.dataset import stacked
from pipeline.data.decoded import DecodedPairs
from pipeline.data.samples import Sample
from pipeline.errors import MachineError, SegdistillError, TrainingError
from pipeline.params.training import TrainingParams
from segdistill_runtime.errors import lacks_memory

RAISED = "Caught "  # begins PyTorch's message about an exception in a loader process


class TrainingBatch(NamedTuple):
    """Crops, and the strengths with which `distort` changes their colors."""

    image: UInt8[Tensor, "n 3 H W"]  # RGB
    labels: UInt8[Tensor, "n H W"]  # train ids
    distortion: Float[Tensor, "n 4"]
    ids: list[str]

    def on(self, device: torch.device) -> list[Tensor]:
        """Copy all but the ids to the device, without waiting; pixels are bytes, a quarter of the size of float32."""
        return [tensor.to(device, non_blocking=True) for tensor in (self.image, self.labels, self.distortion)]


Crop = tuple[np.ndarray, np.ndarray, np.ndarray, str]  # image, labels, distortion, sample id


class CropDataset(Dataset[Crop]):
    """Random crops; the sample, window and distortion of crop i depend only on (samples, seed, i).

    So all runs with the same seed get the same order, with any number of workers and after any resume.
    """

    def __init__(self, pairs: DecodedPairs, samples: Sequence[Sample], training: TrainingParams, seed: int):
        self.pairs = pairs
        self.samples = samples
        self.training = training
        self.seed = seed
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)  # of the samples in that epoch; drawing it is as slow as a crop

    def sample(self, index: int) -> Sample:
        epoch, position = divmod(index, len(self.samples))
        if self._epoch != epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.samples))
        return self.samples[self._order[position]]

    def __getitem__(self, index: int) -> Crop:
        sample = self.sample(index)
        random = np.random.default_rng([self.seed, 1, index])
        return (*augment(*self.pairs.read(sample), self.training, random), sample.id)


def crop_dataset(
    samples: Sequence[Sample], classes: ClassTable, training: TrainingParams, seed: int, scratch: Path
) -> CropDataset:
    """Build the dataset of crops; all trainings share its decoded images under `scratch`."""
    pairs = DecodedPairs(scratch / "decoded-images", samples, classes, round(training.decoded_gib * 2**30))
    return CropDataset(pairs, samples, training, seed)


class BatchShard(NamedTuple):
    """The share of every batch that one process loads, and the number of parts it is loaded in."""

    batch_size: int  # of all processes together
    parts: int = 1  # processed one after the other; their gradients are added up
    process: int = 0
    processes: int = 1

    @property
    def images(self) -> int:
        """Return the number of images in one part."""
        return self.batch_size // (self.parts * self.processes)

    def crops(self, iteration: int) -> Iterator[list[int]]:
        """Yield the crop numbers of each part; all processes and parts together have every crop of the batch once."""
        first = iteration * self.batch_size + self.process * self.images
        for begin in range(first, first + self.batch_size, self.images * self.processes):
            yield list(range(begin, begin + self.images))


def crop_batches(
    crops: CropDataset, shard: BatchShard, start: int, iterations: int, workers: int
) -> Iterator[TrainingBatch]:
    """Yield the parts of the batches of the iterations start, ..., iterations - 1.

    Raises:
        MachineError: /dev/shm is too small for the loader processes. `report_lost_workers` handles one that dies.
    """
    if workers:
        _require_shared_memory(crops.training, shard.images * (2 * workers + 1), workers)
    yield from DataLoader(  # type: ignore[reportReturnType]: the collated type
        crops,  # type: ignore[reportArgumentType]
        batch_sampler=[part for iteration in range(start, iterations) for part in shard.crops(iteration)],
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
    )


@contextmanager
def report_lost_workers() -> Iterator[None]:
    """Wrap the training loop; turn a worker crash into `TrainingError`, and reduce a worker's own error to its message.

    PyTorch reports the death of a loader process in a signal handler. So the error can appear anywhere in the training
    loop, not only where it asks for a batch.
    """
    try:
        yield
    except SegdistillError as error:
        if not str(error).startswith(RAISED):
            raise
        raise type(error)(str(error).strip().splitlines()[-1].partition("Error: ")[2] or str(error)) from error
    except (RuntimeError, MemoryError, OSError, cv2.error) as error:
        if "DataLoader worker" not in str(error):
            raise
        if lacks_memory(error):
            told = "has no memory for its next batch. Lower training.workers, training.batch_size or the crop"
        elif RAISED in str(error):  # a bug in this project's code
            raise
        else:
            told = f"died ({error}); usually memory or /dev/shm ran out. Lower training.workers (0: none)"
        raise TrainingError(f"a loader process {told} in params.yaml; it resumes at its last checkpoint") from error


def _collate(crops: Sequence[Crop]) -> TrainingBatch:
    """Stack crops; in a loader process, put them into shared memory.

    Otherwise a thread of PyTorch's queue between the processes would do that. If no memory is left, that thread drops
    the batch with a line on stderr, and the training waits for it forever.
    """
    batch = TrainingBatch(*stacked(crops))
    if get_worker_info() is not None:
        for tensor in (batch.image, batch.labels, batch.distortion):
            tensor.share_memory_()
    return batch


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)  # threads of a worker would take the cores from the training


def _require_shared_memory(training: TrainingParams, crops: int, workers: int) -> None:
    """Raise if /dev/shm is too small: workers pass batches through it, and if it is full, die with a bus error."""
    needed = crops * training.crop_height * training.crop_width * 4
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return  # a system without /dev/shm passes batches in another way
    if free < needed:
        raise MachineError(
            f"/dev/shm has {free / 1e6:.0f} MB free, {workers} loader processes need {needed / 1e6:.0f} MB. "
            f"Enlarge it (docker run --shm-size=1g) or set training.workers to 0 in params.yaml"
        )
