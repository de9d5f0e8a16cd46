"""Turn a raw dataset into one sample list and one class table; its images and masks stay where they are."""

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
    """Write `out`/classes.json and, last, `out`/samples.csv.

    The list names every image and every mask with the digest of its bytes; `scratch` caches the digests. Later stages
    need only this file to notice that the dataset changed. No file is decoded here: stage curate checks their content.
    Raises DatasetError if the dataset does not have the layout of its adapter.
    """
    for name in ("samples.csv", SOURCE, "classes.json"):  # the list first: without it the stage is not finished
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
        raise DatasetError(f"{dataset.source} has 0 samples in split train; add some. Splits found: {found}")
    foreign = sorted(splits - set(SPLITS))
    complain(f"samples of {dataset.source} are in a split other than {', '.join(SPLITS)}:", foreign)
    uses = Counter(sample.id.lower() for sample in raw.samples)
    repeated = [name for name, count in uses.items() if count > 1]
    complain(f"ids of {dataset.source} are used more than once; the adapter must return unique ids:", repeated)
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
    """Choose a split for each sequence, so that every split gets its share of the frames; `sequences` counts them.

    A sequence stays whole, so that no frame is evaluated whose neighbor was trained on. The seed and the names fix the
    order of the sequences. Each goes to the split that lacks most frames of its share. Raises DatasetError if there
    are fewer sequences than splits with a share.
    """
    wanted = {split: share * sum(sequences.values()) for split, share in shares.items() if share > 0}
    if len(sequences) < len(wanted):
        raise DatasetError(
            f"{len(sequences)} sequence(s) ({', '.join(sorted(sequences)[:3])}) cannot be divided among the splits "
            f"{', '.join(wanted)}: a sequence stays whole. Put the frames of each sequence into a folder of its own, "
            f"set dataset.options.sequence_pattern, or set a share to 0"
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
