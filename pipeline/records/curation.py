"""data/curated/statistics.json: the samples that stage curate kept and rejected, and the leakage between splits."""

from pipeline.records.files import record


@record
class SplitStatistics:
    """Counts of the kept samples; lists have one entry for each class, in train-id order."""

    samples: int
    sequences: int
    pixels: list[int]
    void_pixels: int
    samples_with_class: list[int]


@record
class NearestPair:
    a: str
    b: str
    distance: float  # cosine distance of normalized thumbnails, 0..2


@record
class Leakage:
    policy: str
    distance: float  # limit below which two images of different splits are near-duplicates
    pairs: dict[str, int]  # "train/val" -> near-duplicates across the two
    evaluation_samples_affected: dict[str, int]
    shared_sequences: dict[str, list[str]]
    nearest: list[NearestPair]


@record
class Statistics:
    classes: list[str]
    splits: dict[str, SplitStatistics]
    policies: dict[str, str]  # rule -> policy
    found: dict[str, int]  # rule -> findings
    rejected: dict[str, int]  # rule -> samples
    leakage: Leakage
