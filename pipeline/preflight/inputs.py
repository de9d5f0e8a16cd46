"""What the checks read, and what they find."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import ModelError
from pipeline.errors import SegdistillError, TrainingError
from pipeline.params.deployment import EvaluationParams, ExportParams, QuantizationParams
from pipeline.params.runs import RunParams
from pipeline.params.training import PretrainingParams, TrainingParams
from pipeline.training.network import PRETRAINED


class Complaint(NamedTuple):
    place: str  # in params.yaml, or what else has to be put right
    reason: str


class NotReady(TrainingError):
    """Later stages would fail for reasons that are known before anything is trained: all of them, in `complaints`."""

    def __init__(self, complaints: Iterable[Complaint]):
        self.complaints = tuple(complaints)
        places: dict[str, list[str]] = {}
        for place, reason in self.complaints:
            places.setdefault(reason, []).append(place)
        lines = (f"\n  {', '.join(found)}: {reason}" for reason, found in places.items())
        super().__init__(f"nothing is trained, because later stages would fail:{''.join(lines)}")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What stage preflight reads: parameters, what curation wrote, and the folders of what is there already."""

    teacher: RunParams
    runs: Mapping[str, RunParams]
    methods: Mapping[str, Mapping[str, Any]]
    training: TrainingParams
    teacher_training: TrainingParams
    pretraining: PretrainingParams
    evaluation: EvaluationParams
    export: ExportParams
    quantization: QuantizationParams
    classes: Path
    samples: Path
    statistics: Path
    artifacts: Path
    scratch: Path

    @property
    def trained(self) -> dict[str, RunParams]:
        """By their places in params.yaml."""
        return {"teacher": self.teacher, **{f"runs.{name}": run for name, run in self.runs.items()}}

    @property
    def trainings(self) -> dict[str, TrainingParams]:
        """The different ones, by their places in params.yaml."""
        own = {"teacher.training": self.teacher_training} if self.teacher_training != self.training else {}
        return {"training": self.training, **own}

    def training_of(self, place: str) -> TrainingParams:
        return self.teacher_training if place == "teacher" else self.training

    def is_there(self, place: str) -> bool:
        """Whether a training of this place has ended before: what it began with may be gone, its room is taken."""
        if place == "pretraining":
            return (self.artifacts / place / PRETRAINED).is_file()
        return (self.artifacts / place.replace("runs.", "students/") / "checkpoint.safetensors").is_file()


@contextmanager
def noted(complaints: list[Complaint], place: str) -> Iterator[None]:
    """Turn what is raised into a complaint, but for what the machine did."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except (SegdistillError, ModelError) as error:
        complaints.append(Complaint(place, str(error)))
    except Exception as error:  # a network of others, the exporter: each fails in its own way
        first = next(iter(str(error).splitlines()), "")
        complaints.append(Complaint(place, f"{type(error).__name__}: {first}"))
