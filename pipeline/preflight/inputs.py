"""The inputs of the checks, and the complaints that they return."""

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
    place: str  # path in params.yaml, or another place to correct
    reason: str


class NotReady(TrainingError):
    """Later stages would fail for reasons that are known before training; `complaints` has all of them."""

    def __init__(self, complaints: Iterable[Complaint]):
        self.complaints = tuple(complaints)
        places: dict[str, list[str]] = {}
        for place, reason in self.complaints:
            places.setdefault(reason, []).append(place)
        lines = (f"\n  {', '.join(found)}: {reason}" for reason, found in places.items())
        super().__init__(f"nothing is trained, because later stages would fail. Correct these:{''.join(lines)}")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs of stage preflight: parameters, outputs of curation, and the folders of earlier results."""

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
        """Return the teacher and the runs by their places in params.yaml."""
        return {"teacher": self.teacher, **{f"runs.{name}": run for name, run in self.runs.items()}}

    @property
    def trainings(self) -> dict[str, TrainingParams]:
        """Return the different training settings by their places in params.yaml."""
        own = {"teacher.training": self.teacher_training} if self.teacher_training != self.training else {}
        return {"training": self.training, **own}

    def training_of(self, place: str) -> TrainingParams:
        return self.teacher_training if place == "teacher" else self.training

    def is_there(self, place: str) -> bool:
        """Return whether a training of this place has ended before: it needs no more space, nor its initial weights."""
        if place == "pretraining":
            return (self.artifacts / place / PRETRAINED).is_file()
        return (self.artifacts / place.replace("runs.", "students/") / "checkpoint.safetensors").is_file()


@contextmanager
def noted(complaints: list[Complaint], place: str) -> Iterator[None]:
    """Turn an error into a complaint, except errors of the machine."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except (SegdistillError, ModelError) as error:
        complaints.append(Complaint(place, str(error)))
    except Exception as error:  # external networks and the exporter raise their own errors
        first = next(iter(str(error).splitlines()), "")
        complaints.append(Complaint(place, f"{type(error).__name__}: {first}"))
