"""Any raw dataset becomes one sample list and one class table; its images and masks stay where they are."""

import pkgutil
import shutil
from collections import Counter
from pathlib import Path

from pipeline.data.samples import SPLITS, Sample, write_samples
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams
from pipeline.preparation import ADAPTERS
from pipeline.preparation.adapter import Adapter, RawDataset
from pipeline.preparation.digests import file_digests
from pipeline.preparation.pairs import complain
from pipeline.preparation.splitting import divided


def prepare_dataset(dataset: DatasetParams, scratch: Path, out: Path) -> None:
    """Write `out`/classes.json and, last of all, `out`/samples.csv.

    The list names every image and every mask with the digest of its bytes: it is the one file by which later stages
    know that the dataset changed. Nothing is decoded here; what files hold is for `curate` to judge.

    Args:
        scratch: where digests are kept from one time to the next.

    Raises:
        DatasetError: the dataset is not laid out as its adapter expects.
    """
    for name in ("samples.csv", "classes.json"):  # the list first: without it nothing here looks finished
        (out / name).unlink(missing_ok=True)
    if (out / "raw").exists():
        shutil.rmtree(out / "raw")
    adapter: Adapter = pkgutil.resolve_name(ADAPTERS[dataset.adapter])
    raw = adapter.read(dataset, out / "raw")
    if dataset.split.by == "sequences":
        raw = raw._replace(samples=divided(raw.samples, dataset.split))
    _check_list(raw, dataset.source)
    files = [path for sample in raw.samples for path in (sample.image, sample.mask) if path is not None]
    digests = file_digests(files, scratch / "digests.sqlite")
    samples = [
        Sample(*sample, digests[sample.image], "" if sample.mask is None else digests[sample.mask])
        for sample in raw.samples
    ]
    out.mkdir(parents=True, exist_ok=True)
    raw.classes.save(out / "classes.json")
    write_samples(out / "samples.csv", samples)
    counts = Counter(sample.split for sample in samples)
    parts = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
    print(f"prepared {len(samples)} samples, {len(raw.classes.classes)} classes: {parts}")


def _check_list(raw: RawDataset, source: str) -> None:
    splits = {sample.split for sample in raw.samples}
    if "train" not in splits:
        raise DatasetError(f"no training sample in {source}; found splits: {', '.join(sorted(splits)) or 'none'}")
    complain(f"samples of {source} are in a split other than {', '.join(SPLITS)}:", sorted(splits - set(SPLITS)))
    uses = Counter(sample.id.lower() for sample in raw.samples)
    complain(f"ids of {source} are used more than once:", [name for name, count in uses.items() if count > 1])
