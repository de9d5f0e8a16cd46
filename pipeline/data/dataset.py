"""Batches for training (random crops without end) and for evaluation (whole images, once)."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.data.images import read_image, read_mask
from pipeline.data.samples import Sample
from pipeline.data.transforms import Augmentation
from pipeline.errors import SegdistillError


class LoaderError(SegdistillError):
    """A machine or a dataset that cannot feed the training."""


class Batch(NamedTuple):
    image: UInt8[Tensor, "n 3 H W"]  # RGB
    labels: UInt8[Tensor, "n H W"]  # train ids
    ids: list[str]

    def on(self, device: torch.device) -> tuple[UInt8[Tensor, "n 3 H W"], UInt8[Tensor, "n H W"]]:
        """Bytes travel, a quarter of what float32 would be; the host does not wait for them."""
        return self.image.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)


def network_input(image: UInt8[Tensor, "n 3 H W"]) -> Float[Tensor, "n 3 H W"]:
    """RGB in 0..1, channels last."""
    return image.float().div_(255).contiguous(memory_format=torch.channels_last)


class TrainingDraws(Dataset[tuple[np.ndarray, np.ndarray, str]]):
    """Draw number i is a fixed function of (samples, seed, i): which sample, which crop, which distortion.

    So the data order is the same for every run with one seed, however many workers load it and wherever it resumes.
    """

    def __init__(self, samples: Sequence[Sample], augmentation: Augmentation, seed: int):
        self.samples = samples
        self.augmentation = augmentation
        self.seed = seed

    def sample(self, draw: int) -> Sample:
        epoch, position = divmod(draw, len(self.samples))
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.samples))
        return self.samples[order[position]]

    def __getitem__(self, draw: int) -> tuple[np.ndarray, np.ndarray, str]:
        sample = self.sample(draw)
        random = np.random.default_rng([self.seed, 1, draw])
        image, labels = self.augmentation(read_image(sample.image), read_mask(sample.mask), random)
        return image, labels, sample.id


class Share(NamedTuple):
    """What of every batch one process loads, and in how many parts."""

    batch_size: int  # of all processes together
    parts: int = 1  # differentiated one after the other, their gradients added up
    process: int = 0
    processes: int = 1

    def draws(self, iteration: int) -> Iterator[list[int]]:
        """The numbers of the draws of each part; over the processes and parts every draw of the batch comes once."""
        size = self.batch_size // (self.parts * self.processes)
        first = iteration * self.batch_size + self.process * size
        for part in range(self.parts):
            begin = first + part * size * self.processes
            yield list(range(begin, begin + size))


def training_batches(draws: TrainingDraws, share: Share, start: int, iterations: int, workers: int) -> Iterator[Batch]:
    """The parts of the batches of the iterations start, ..., iterations - 1.

    Raises:
        LoaderError: /dev/shm is too small for the loader processes, or one of them was killed.
        ImageError: a sample can no longer be read.
    """
    if workers:
        _require_shared_memory(draws.augmentation, share.batch_size // (share.parts * share.processes), workers)
    loader: Iterable[Batch] = DataLoader(  # type: ignore[reportAssignmentType]: the collated type
        draws,  # type: ignore[reportArgumentType]
        batch_sampler=[part for iteration in range(start, iterations) for part in share.draws(iteration)],
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
    )
    return _with_own_errors(loader)


def evaluation_batches(samples: Sequence[Sample], batch_size: int) -> Iterator[Batch]:
    """Whole images in list order; a batch ends early where the next image has another size."""
    pending: list[tuple[np.ndarray, np.ndarray, str]] = []
    for sample in samples:
        image, labels = read_image(sample.image), read_mask(sample.mask)
        if pending and (len(pending) == batch_size or pending[0][1].shape != labels.shape):
            yield _collate(pending)
            pending = []
        pending.append((image, labels, sample.id))
    if pending:
        yield _collate(pending)


def _with_own_errors(loader: Iterable[Batch]) -> Iterator[Batch]:
    """What a loader process says, without the tracebacks of two processes around it."""
    try:
        yield from loader
    except SegdistillError as error:
        raise type(error)(str(error).strip().splitlines()[-1].partition("Error: ")[2] or str(error)) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise LoaderError(
            f"a loader process died ({error}); usually memory or /dev/shm ran out. "
            f"Set training.workers to 0 in params.yaml"
        ) from error


def _collate(draws: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> Batch:
    images = torch.from_numpy(np.stack([image for image, _, _ in draws])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.stack([labels for _, labels, _ in draws]))
    return Batch(images, labels, [sample_id for _, _, sample_id in draws])


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)  # a worker that starts threads of its own takes the cores from the training


def _require_shared_memory(augmentation: Augmentation, batch_size: int, workers: int) -> None:
    """Workers hand batches over in /dev/shm; where it is full they die with a bus error that explains nothing."""
    prefetched = 2 * workers + 1
    needed = prefetched * batch_size * augmentation.crop_height * augmentation.crop_width * 4
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return  # a system without /dev/shm uses another way
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise LoaderError(
            f"/dev/shm has {free / 1e6:.0f} MB free, {workers} loader processes need {needed / 1e6:.0f} MB. "
            f"Enlarge it (docker run --shm-size=1g) or set training.workers to 0 in params.yaml"
        )
