"""The records of inspection: one line of JSON for each sample, in the order of the sample list."""

from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.data.files import write_text
from pipeline.records.files import damaged, read_bytes

TEACHER = "teacher"  # its name among the networks
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mistake:
    """A connected region in which the teacher is sure that the label is wrong."""

    label: str  # names of classes
    prediction: str
    pixels: int
    score: float  # see find_mistakes
    box: tuple[int, int, int, int]  # left, top, width, height in pixels


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkScores:
    """The scores of one network on one sample; None if no pixel is labelled, or if the score does not apply."""

    prediction: str  # path of the PNG of train ids
    miou: float | None  # 0..1, over the classes of the sample's labels
    pixel_accuracy: float | None  # 0..1
    boundary_error: float | None  # 0..1, see boundary_error
    agreement: float | None  # share of pixels with the same class as the teacher's, 0..1; None for the teacher itself
    gain: float | None  # mIoU minus that of the run's baseline, -1..1; None for the teacher and for baselines


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InspectedSample:
    """One sample, kept or dropped."""

    id: str
    split: str
    sequence: str
    image: str  # paths relative to the profile's folder, or absolute
    mask: str | None  # the dataset's own file: raw ids
    image_sha256: str  # of the file's bytes; empty if the file does not exist or cannot be read
    mask_sha256: str
    size: tuple[int, int] | None  # height, width in pixels; None if the image cannot be read
    decision: str  # keep or drop
    rules: list[str]  # rules that it fails
    reasons: list[str]  # the reason of each of these rules
    hardness: float | None = None  # 0..1
    mistake_score: float | None = None  # of its worst region, see find_mistakes; 0 without one
    mistakes: list[Mistake] = field(default_factory=list)
    position: tuple[float, float] | None = None  # in the plot of the teacher's features
    networks: dict[str, NetworkScores] = field(default_factory=dict)  # by run; the teacher is "teacher"


ADAPTER = TypeAdapter(InspectedSample)


def write_inspected(path: Path, samples: Iterable[InspectedSample]) -> None:
    """Write JSON Lines atomically; the same samples give the same bytes."""
    write_text(path, "".join(ADAPTER.dump_json(sample).decode() + "\n" for sample in samples))


def read_inspected(path: Path) -> list[InspectedSample]:
    """Read all lines; raise ArtifactError for a line that stage inspect did not write."""
    samples = []
    content = read_bytes(path, "inspect")  # bytes: with text, splitlines also splits at characters that JSON allows
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            samples.append(ADAPTER.validate_json(line))
        except ValidationError as error:
            complaint = error.errors()[0]
            where = ".".join(map(str, complaint["loc"])) or "all"
            raise damaged(path, "inspect", f"line {number}, {where}: {complaint['msg']}") from error
    return samples
