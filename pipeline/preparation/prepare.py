"""Any raw dataset becomes one sample list and one class table; its images and masks stay where they are."""

import hashlib
import pkgutil
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.data.samples import SOURCE, SPLITS, UNLABELLED, Sample, write_samples
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams, SplitParams
from pipeline.preparation import ADAPTERS
from pipeline.preparation.adapter import Adapter, RawSample
from pipeline.preparation.digests import file_digests
from pipeline.preparation.pairs import complain


def prepare_dataset(dataset: DatasetParams, scratch: Path, out: Path) -> None:
    """Write `out`/classes.json, and last of all `out`/samples.csv.

    The list names every image and every mask with the digest of its bytes (kept in `scratch` from one time to the
    next): it is the one file by which later stages know that the dataset changed. Nothing is decoded here; what files
    hold is for `curate` to judge. Raises DatasetError if the dataset is not laid out as its adapter expects.
    """
    for name in ("samples.csv", SOURCE, "classes.json"):  # the list first: without it nothing here looks finished
        (out / name).unlink(missing_ok=True)
    if (out / "raw").exists():
        shutil.rmtree(out / "raw")
    adapter: Adapter = pkgutil.resolve_name(ADAPTERS[dataset.adapter])
    raw = adapter.read(dataset, out / "raw")
    if dataset.split.by == "sequences":
        raw = raw._replace(samples=divided(raw.samples, dataset.split))
    splits = {sample.split for sample in raw.samples}
    if "train" not in splits:
        found = ", ".join(sorted(splits)) or "none"
        raise DatasetError(f"no training sample in {dataset.source}; found splits: {found}")
    foreign = sorted(splits - set(SPLITS))
    complain(f"samples of {dataset.source} are in a split other than {', '.join(SPLITS)}:", foreign)
    uses = Counter(sample.id.lower() for sample in raw.samples)
    repeated = [name for name, count in uses.items() if count > 1]
    complain(f"ids of {dataset.source} are used more than once:", repeated)
    files = [path for sample in raw.samples for path in (sample.image, sample.mask) if path is not None]
    digests = file_digests(files, scratch / "digests.sqlite")
    samples = [
        Sample(*sample, digests[sample.image], "" if sample.mask is None else digests[sample.mask])
        for sample in raw.samples
    ]
    out.mkdir(parents=True, exist_ok=True)
    raw.classes.save(out / "classes.json")
    source = Path(dataset.source)
    write_samples(out / "samples.csv", samples, source if all(f.is_relative_to(source) for f in files) else Path())
    counts = Counter(sample.split for sample in samples)
    parts = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
    print(f"prepared {len(samples)} samples, {len(raw.classes.classes)} classes: {parts}")


def divided(samples: Sequence[RawSample], split: SplitParams) -> list[RawSample]:
    """Give every labelled sample the split of its sequence, whatever split it had."""
    shares = {"train": 1 - split.val_share - split.test_share, "val": split.val_share, "test": split.test_share}
    assigned = assign_splits(Counter(s.sequence for s in samples if s.split != UNLABELLED), shares, split.seed)
    return [s if s.split == UNLABELLED else s._replace(split=assigned[s.sequence]) for s in samples]


def assign_splits(sequences: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Choose the split of each sequence, given with its number of frames, so that every split gets its share of them.

    A sequence stays whole, so that no frame is judged whose neighbor was learned. Sequences are taken in an order that
    the seed and their names fix, and each goes to the split that lacks most of its share. Raises DatasetError for
    fewer sequences than splits with a share.
    """
    wanted = {split: share * sum(sequences.values()) for split, share in shares.items() if share > 0}
    if len(sequences) < len(wanted):
        raise DatasetError(
            f"{len(sequences)} sequence(s) ({', '.join(sorted(sequences)[:3])}) cannot be divided among the splits "
            f"{', '.join(wanted)}: a sequence stays whole. Put the frames of each sequence into a folder of its own, "
            f"find them by dataset.options.sequence_pattern, or set a share to 0"
        )
    order = sorted(sequences, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    assigned: dict[str, str] = {}
    for position, name in enumerate(order):
        empty = [split for split in wanted if split not in assigned.values()]
        candidates = empty if len(order) - position <= len(empty) else wanted
        split = max(candidates, key=lambda split: wanted[split])
        wanted[split] -= sequences[name]
        assigned[name] = split
    return assigned
