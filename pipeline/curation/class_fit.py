"""Do the masks go with the class table at all?"""

from collections.abc import Sequence

import numpy as np

from pipeline.curation.measuring.record import Measurement
from pipeline.data.classes import ClassTable
from pipeline.data.samples import UNLABELLED, Sample
from pipeline.errors import DatasetError


def require_fitting_masks(samples: Sequence[Sample], measurements: Sequence[Measurement], classes: ClassTable) -> None:
    """A few odd masks are for the rules; a class table that fits none or half of them is a mistake of the dataset.

    Raises:
        DatasetError: says which raw ids the masks hold and which the table knows.
    """
    labelled = [(s.mask, m) for s, m in zip(samples, measurements, strict=True) if s.split != UNLABELLED]
    usable = [m.mask.pixels for _, m in labelled if m.mask]
    if not usable:
        file, first = labelled[0]
        problem = first.problems["mask"].sentence
        raise DatasetError(f"none of the {len(labelled)} masks can be used; the first, {file}: {problem}")
    pixels = np.sum(usable, axis=0)
    known = classes.known_raw_ids()
    of_class = classes.lookup() < len(classes.classes)
    foreign = sum(bool(mask[~known].any()) for mask in usable)
    ids = (
        f"the masks hold {_id_list(pixels > 0)}; the class table {classes.dataset!r} knows "
        f"{_id_list(of_class)} as classes and {_id_list(known & ~of_class)} as void. "
        f"Correct the ids of the class table, or choose the adapter that goes with these masks (dataset.adapter)"
    )
    if not pixels[of_class].any():
        raise DatasetError(f"no pixel of {len(usable)} masks belongs to a class: {ids}")
    if 2 * foreign > len(usable):
        raise DatasetError(f"{foreign} of {len(usable)} masks hold ids outside the class table: {ids}")


def _id_list(chosen: np.ndarray) -> str:
    ids = np.flatnonzero(chosen).tolist()
    return "ids " + ", ".join(map(str, ids[:40])) + (" ..." if len(ids) > 40 else "") if ids else "no id"
