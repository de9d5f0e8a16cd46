"""Check what later stages ask for and what is known now, before anything is trained: docs/preflight.md has the list."""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from models.build import build_segmenter
from models.classifier import load_classifier, new_classifier
from models.errors import ModelError
from models.export_wrappers import LabelsGraph
from models.meta import without_memory
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_json
from pipeline.data.images import image_size
from pipeline.data.samples import UNLABELLED, Sample, read_samples
from pipeline.deploy.signing import KEY_VARIABLE, sign, signing_key
from pipeline.distillation.inheritance import inherit_layers
from pipeline.distillation.method import run_methods
from pipeline.distillation.objective import distillation_objective
from pipeline.distillation.pruned import cut_out
from pipeline.errors import SegdistillError, TrainingError
from pipeline.measure.cost import multiply_accumulates
from pipeline.params.deployment import EvaluationParams, ExportParams, QuantizationParams
from pipeline.params.runs import RunParams
from pipeline.params.training import NetworkParams, PretrainingParams, TrainingParams, WeightsParams
from pipeline.training.device import best_device, resolved_precision
from pipeline.training.network import PRETRAINED, check_weights, design_of, new_network
from pipeline.training.objective import Objective, SupervisedObjective, Task, load_class_weights
from segdistill_runtime.runner import InputShape

SIDE = 128  # pixels that a network sees of the crop that is tried
TESTED_HEADS, TESTED_BACKBONES = {"pspnet", "deeplabv3", "ladder"}, {"resnet18", "resnet18_v1c"}  # an export takes 5 s
TEACHER_COPIES, STUDENT_COPIES = 2, 12  # checkpoint, graphs and bundle; each again in DVC's cache
GIBIBYTE = 2**30


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

    def is_there(self, place: str) -> bool:
        """Whether a training of this place has ended before: what it began with may be gone, its room is taken."""
        if place == "pretraining":
            return (self.artifacts / place / PRETRAINED).is_file()
        return (self.artifacts / place.replace("runs.", "students/") / "checkpoint.safetensors").is_file()


def check_profile(inputs: Inputs, out: Path) -> None:
    """Write `out`, the same each time, so that nothing runs again because this did.

    Raises NotReady with everything that is wrong.
    """
    out.unlink(missing_ok=True)
    table, samples = ClassTable.load(inputs.classes), read_samples(inputs.samples)
    complaints = [*_of_splits(inputs, samples), *_of_settings(inputs, table)]
    built = _build(inputs, table, complaints)
    _export(inputs, table, built, complaints)
    _learn(inputs, table, built, complaints)
    complaints += _of_room(inputs, samples, built)
    if complaints:
        raise NotReady(complaints)
    write_json(out, {"complaints": []})


def _of_splits(inputs: Inputs, samples: Sequence[Sample]) -> Iterator[Complaint]:
    held = Counter(sample.split for sample in samples)
    listed = f"{inputs.samples} has {', '.join(f'{count} of {split}' for split, count in held.items()) or 'none'}"
    needed = {
        "training.splits": inputs.training.splits,
        "evaluation.split": [inputs.evaluation.split],
        "quantization.judged_on": [inputs.quantization.judged_on],
        "pretraining.images": inputs.pretraining.images if inputs.pretraining.iterations else [],
        **{f"{place}.unlabelled_share": [UNLABELLED] for place, run in inputs.trained.items() if run.unlabelled_share},
    }
    for place, splits in needed.items():
        for split in splits:
            if not held[split]:
                yield Complaint(place, f"no sample is in split {split}; {listed}. Name another split, or add images")
    if (count := inputs.quantization.calibration_images) > held["train"]:
        yield Complaint("quantization.calibration_images", f"{count} are asked for; {listed}. Lower it")


def _of_settings(inputs: Inputs, table: ClassTable) -> list[Complaint]:
    complaints: list[Complaint] = []
    if resolved_precision(inputs.training.precision, best_device().type) == "fp16":
        complaints += [
            Complaint(f"{place}.momentum_shift", "it does not go with precision fp16; take bf16 or fp32")
            for place, run in inputs.trained.items()
            if run.momentum_shift
        ]
    with _noted(complaints, "training.class_balance"):
        load_class_weights(inputs.statistics, table.names, inputs.training)
    with _noted(complaints, KEY_VARIABLE):
        if key := signing_key():
            sign(b"", key)
    pretraining = inputs.pretraining
    with _noted(complaints, "pretraining"):
        if pretraining.iterations and not inputs.is_there("pretraining"):
            source = pretraining.classifier
            check_weights(Path(source.file), source.sha256)
            new_classifier(pretraining.backbone, load_classifier(source.backbone, Path(source.file)).fc.out_features)
    return complaints


def _build(inputs: Inputs, table: ClassTable, complaints: list[Complaint]) -> dict[str, Segmenter]:
    """Return the untrained network of each place, but for those that cannot be built or see images of these sizes."""
    training, export = inputs.training, inputs.export
    sizes = {(training.crop_height, training.crop_width), (export.height, export.width)}
    known: dict[str, Segmenter | list[Complaint]] = {}
    built = {}
    for place, run in inputs.trained.items():
        begins_elsewhere = inputs.is_there(place) or run.network.weights.source == "pretraining"
        network = replace(run.network, weights=WeightsParams()) if begins_elsewhere else run.network
        if repr(network) not in known:
            found: list[Complaint] = []
            with _noted(found, place):
                segmenter = known[repr(network)] = new_network(network, table, run.seed)[0]
                with without_memory():
                    meta = build_segmenter(design_of(network, tuple(table.names)))
                    for height, width in sizes:
                        multiply_accumulates(meta, height, width)
                segmenter.eval()
            if found:
                known[repr(network)] = found
        outcome = known[repr(network)]
        if isinstance(outcome, Segmenter):
            built[place] = outcome
        else:
            complaints += [Complaint(place, reason) for _, reason in outcome]
    return built


def _export(inputs: Inputs, table: ClassTable, built: Mapping[str, Segmenter], complaints: list[Complaint]) -> None:
    """Export each different student in each shape, as stage export will, but for those whose export is tested."""
    export = inputs.export
    shapes = {InputShape(1, export.height, export.width): "export"}
    shapes |= {InputShape(each.batch, each.height, each.width): "export.other_shapes" for each in export.other_shapes}
    known: dict[str, list[Complaint]] = {}
    for place, run in inputs.trained.items():
        if place not in built or place == "teacher":
            continue
        design = design_of(run.network, tuple(table.names))
        if design.architecture in TESTED_HEADS and design.backbone in TESTED_BACKBONES:
            continue
        from pipeline.deploy.onnx_export import export_graph  # its import takes a second

        if repr(design) not in known:
            found = known[repr(design)] = []
            for shape in shapes:
                with _noted(found, place), TemporaryDirectory() as folder:
                    export_graph(LabelsGraph(built[place]), design, shape, export.opset, Path(folder) / "model.onnx")
        complaints += [Complaint(place, reason) for _, reason in known[repr(design)]]


def _learn(inputs: Inputs, table: ClassTable, built: Mapping[str, Segmenter], complaints: list[Complaint]) -> None:
    """Begin each different training as its stage will, and differentiate the loss of two small crops."""
    task = Task.of(inputs.training, None)
    known: dict[str, list[Complaint]] = {}
    for place, run in inputs.trained.items():
        source = run.prune.source.replace("students/", "runs.") if run.prune.prunes else place
        if not built.keys() >= {place, source} | ({"teacher"} if run.has_teacher else set()):
            continue
        same = repr((run.network, run.distill, run.inherit_layers, run.prune))
        if same not in known:
            found = known[same] = []
            with _noted(found, place):
                student = copy.deepcopy(built[source])
                teacher = copy.deepcopy(built["teacher"]) if run.has_teacher else student
                if run.prune.prunes:
                    design = design_of(inputs.trained[source].network, tuple(table.names))
                    student, _ = cut_out(student, design, run.network, run.prune.keep)
                if run.inherit_layers:
                    inherit_layers(student, teacher)
                objectives: list[Objective] = [SupervisedObjective(student, task)]
                if run.distill:
                    methods = run_methods(run.distill, inputs.methods)
                    distilling = distillation_objective(student, teacher, run, methods, task)
                    before = (preparation.objective for preparation in distilling.preparations().values())
                    objectives = [distilling, *before]
                image, labels = _crops(run.network, inputs.training, len(table.classes))
                for objective in objectives:
                    objective.train()
                    objective(image, labels, torch.zeros(len(image), 4)).total.backward()
        complaints += [Complaint(place, reason) for _, reason in known[same]]


def _crops(network: NetworkParams, training: TrainingParams, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random images, uint8 (2, 3, H, W), and their train ids, uint8 (2, H, W)."""
    most = round(SIDE / network.input_scale)
    height, width = min(training.crop_height, most), min(training.crop_width, most)
    image = torch.randint(256, (2, 3, height, width), dtype=torch.uint8)
    return image, torch.randint(classes, (2, height, width), dtype=torch.uint8)


def _of_room(inputs: Inputs, samples: Sequence[Sample], built: Mapping[str, Segmenter]) -> Iterator[Complaint]:
    """Compare the disk with what trainings, graphs and decoded images take, each at least."""
    limit = round(inputs.training.decoded_gib * GIBIBYTE)
    decoded = 0
    for sample in samples:
        if sample.split in inputs.training.splits and decoded < limit:
            width, height = image_size(sample.image)
            decoded = min(limit, decoded + 4 * width * height)
    there = sum(path.stat().st_size for path in (inputs.scratch / "decoded-images").glob("*.npy"))
    needed = max(0, decoded - there)
    for place, network in built.items():
        if not inputs.is_there(place):
            copies = TEACHER_COPIES if place == "teacher" else STUDENT_COPIES + 2 * len(inputs.export.other_shapes)
            needed += copies * sum(tensor.nbytes for tensor in network.state_dict().values())
    if (free := disk_usage(".").free) < needed:
        sizes = f"{free / GIBIBYTE:.1f} GiB are free, about {needed / GIBIBYTE:.1f} GiB will be written"
        yield Complaint(f"disk of {Path.cwd()}", f"{sizes}; free some, or lower training.decoded_gib")


@contextmanager
def _noted(complaints: list[Complaint], place: str) -> Iterator[None]:
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
