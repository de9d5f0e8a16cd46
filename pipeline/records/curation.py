"""data/curated/statistics.json: what stage curate kept, rejected, and found to leak between splits."""

from pipeline.records.files import record


@record
class SplitStatistics:
    """Of the kept samples; lists have one entry for each class, in train-id order."""

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
    distance: float  # below which two images of different splits count as one
    pairs: dict[str, int]  # "train/val" -> near-duplicates across the two
    evaluation_samples_affected: dict[str, int]
    shared_sequences: dict[str, list[str]]
    nearest: list[NearestPair]


@record
class Statistics:
    classes: list[str]
    splits: dict[str, SplitStatistics]
    policies: dict[str, str]  # of each rule
    found: dict[str, int]  # rule -> findings
    rejected: dict[str, int]  # rule -> samples
    leakage: Leakage
