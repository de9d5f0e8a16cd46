"""Cache decoded pairs of image and mask on disk, in their memory layout, so that each is decoded once."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np

from pipeline.data.classes import ClassTable
from pipeline.data.files import DiskFull, replacing
from pipeline.data.images import ImageError, image_size, read_image, read_labels
from pipeline.data.samples import Sample

Pair = tuple[np.ndarray, np.ndarray]
NUMPY_HEADER = 128  # bytes


class DecodedPairs:
    """A cache of the first pairs of the list that fit into the limit; the others are decoded every time.

    Each pair has one memory-mapped file. Processes that read the same pair share one copy, and the system drops it if
    memory is short. The file is named after the listed digests of image and mask, so it is never out of date.

    Args:
        folder: for the files; trainings may share it.
        limit_bytes: of the folder. Files of other trainings are removed first, beginning with the oldest.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample], classes: ClassTable, limit_bytes: int):
        self.folder = folder
        self.classes = classes
        self.names: dict[str, str] = {}
        meaning = classes.lookup().tobytes() + str(classes.raw_ids_by_color()).encode()
        room = limit_bytes
        for sample in samples if room else ():
            width, height = image_size(sample.image)
            needed = width * height * 4 + NUMPY_HEADER
            if needed > room:
                break
            room -= needed
            if sample.mask and not sample.mask.exists():  # raised now, not in the middle of an epoch
                raise ImageError(f"sample {sample.id} cannot be read: no file {sample.mask}")
            # Cached only if the list has digests: else nothing would tell which bytes a cached pair comes from.
            if sample.image_sha256 and (sample.mask_sha256 or not sample.mask):
                listed = f"{sample.image_sha256} {sample.mask_sha256}".encode() + meaning
                self.names[sample.id] = f"{sha256(listed).hexdigest()[:32]}.npy"
        self._make_room(room)

    def read(self, sample: Sample) -> Pair:
        """Return uint8 (H, W, 3) RGB and uint8 (H, W) train ids, both read-only; raise the errors of `read_image`."""
        path = self.folder / self.names[sample.id] if sample.id in self.names else None
        if path:
            with suppress(OSError, ValueError, EOFError):  # not there yet, or damaged
                pair = np.load(path, mmap_mode="r")
                height, width = pair.shape[0] // 4, pair.shape[1]
                return pair[: 3 * height].reshape(height, width, 3), pair[3 * height :]
        image, labels = self._decoded(sample)
        if path and image.shape[:2] == labels.shape:
            try:
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, np.concatenate([image.reshape(-1, labels.shape[1]), labels]))
            except (OSError, DiskFull) as error:
                warnings.warn(f"decoded images are no longer cached: {error}", stacklevel=2)
                self.names.clear()
        return image, labels

    def _decoded(self, sample: Sample) -> Pair:
        return read_image(sample.image, sample.image_sha256), read_labels(sample, self.classes)

    def _make_room(self, room: int) -> None:
        """Remove files of other trainings, the oldest first, until they fit into `room`, the bytes that are free."""
        own, others = set(self.names.values()), list[tuple[int, int, Path]]()
        for path in self.folder.glob("*.npy"):
            with suppress(FileNotFoundError):  # another process makes room as well
                if path.name not in own:
                    others.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        excess = sum(size for _, size, _ in others) - room
        for _, size, path in sorted(others):
            if excess > 0:
                path.unlink(missing_ok=True)
                excess -= size
