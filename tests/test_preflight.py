"""What later stages refuse is refused before anything is trained: each late error and its early twin."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models import heads
from models.backbone import build_backbone
from models.build import build_segmenter
from models.checkpoint import save_checkpoint
from models.errors import ModelError
from models.segmenter import Segmenter
from pipeline.code_digest import ROOT
from pipeline.data.classes import ClassTable
from pipeline.data.files import DiskFull, replacing, sha256
from pipeline.data.samples import read_samples, write_samples
from pipeline.deploy.export import export_run
from pipeline.deploy.signing import KEY_VARIABLE, sign
from pipeline.distillation import METHODS
from pipeline.distillation.method import CellLabels, Method, Output, Preparation, run_methods
from pipeline.distillation.student import train_student
from pipeline.errors import SegdistillError, TrainingError
from pipeline.measure.benchmark import benchmark_cases
from pipeline.params.deployment import BenchmarkParams, EvaluationParams, QuantizationParams
from pipeline.params.runs import PruneParams, RunParams
from pipeline.params.training import ClassifierParams, NetworkParams, PretrainingParams, WeightsParams
from pipeline.preflight import check
from pipeline.preflight.check import check_profile
from pipeline.preflight.inputs import Inputs, NotReady
from pipeline.pretraining.pretrain import pretrain
from pipeline.quantization import quantize
from pipeline.training.network import design_of
from pipeline.training.objective import Loss, SupervisedObjective, Task
from tests.small_profile import repro, write_small_profile
from tests.toy import toy_training, write_toy_samples
from tests.toy_run import EXPORT, PARITY

NETWORK = NetworkParams(architecture="pspnet", backbone="resnet10t", head_channels=16, auxiliary_channels=16)
RUN = RunParams(network=NETWORK, iterations=1)
TAUGHT = replace(RUN, distill={"gdd": 1.0})
CONTRASTED = replace(RUN, network=replace(NETWORK, output_stride=16), distill={"afdcd": 1.0})  # one patch: 256 pixels
ANOTHER_HASH = "0" * 64
BOTTLENECKS = replace(NETWORK, backbone="resnet26")


class Demanding(Method):
    """A method that no teacher is good enough for."""

    def __init__(self, params: Any, student: nn.Module, teacher: nn.Module, iterations: int):
        raise TrainingError("the teacher has no such head")


class DemandingBefore(Method):
    """A method whose own training before the student's does not fit the teacher."""

    def preparation(self, teacher: Segmenter, task: Task) -> Preparation:
        return Preparation(Refusing(teacher.requires_grad_(True), task), iterations_share=1.0, learning_rate=0.1)

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Tensor:
        return student.logits.sum()


class Refusing(SupervisedObjective):
    def compare(self, image: Tensor, labels: Tensor) -> Loss:
        raise TrainingError("the teacher has no such head")


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """A toy that is right in all."""
    write_toy_samples(tmp_path, 16)
    return Inputs(
        teacher=RUN, runs={"alone": RUN, "taught": TAUGHT}, methods={}, training=toy_training(decoded_gib=0.0),
        teacher_training=toy_training(decoded_gib=0.0), pretraining=PretrainingParams(),
        evaluation=EvaluationParams(), export=EXPORT, quantization=QuantizationParams(calibration_images=1),
        classes=tmp_path / "classes.json", samples=tmp_path / "samples.csv", statistics=tmp_path / "statistics.json",
        artifacts=tmp_path / "artifacts", scratch=tmp_path / "scratch",
    )  # fmt: skip


def train(inputs: Inputs, run: RunParams) -> None:
    """What stage student does, after a teacher and another student were trained."""
    names = tuple(ClassTable.load(inputs.classes).names)
    for name, network in {"teacher": inputs.teacher.network, "source": run.network}.items():
        design = design_of(network, names)
        save_checkpoint(build_segmenter(design), design, {}, inputs.scratch.parent / name)
    train_student(
        "x", run, run_methods(run.distill, inputs.methods), inputs.training, "", inputs.classes, inputs.samples,
        inputs.statistics, inputs.scratch, inputs.artifacts, inputs.scratch.parent / "teacher",
        inputs.scratch.parent / "source",
    )  # fmt: skip


def quantized(inputs: Inputs) -> None:
    nowhere = dict.fromkeys(("teacher", "checkpoint", "graph", "predictions"), Path())
    shared = {key: getattr(inputs, key) for key in ("training", "quantization", "export", "classes", "samples")}
    quantize.quantize_run(
        quantize.Inputs(
            name="x", run=RUN, methods={}, code="", parity=PARITY, split="test", statistics=inputs.statistics,
            scratch=inputs.scratch, **shared, **nowhere,
        ),
        inputs.artifacts, inputs.artifacts / "x.json",
    )  # fmt: skip


def benchmarked(inputs: Inputs) -> None:
    benchmark_cases("x", BenchmarkParams(), inputs.evaluation.split, [], inputs.samples, inputs.artifacts)


def pretrained(inputs: Inputs) -> None:
    pretrain(inputs.pretraining, inputs.training, "", inputs.classes, inputs.samples, inputs.scratch, inputs.artifacts)


def without(inputs: Inputs, split: str) -> None:
    write_samples(inputs.samples, [sample for sample in read_samples(inputs.samples) if sample.split != split])


@dataclass
class Case:
    place: str  # of the early complaint
    change: Callable[[Inputs], Inputs]
    late: Callable[[Inputs], None]


def with_run(run: RunParams) -> Callable[[Inputs], Inputs]:
    return lambda inputs: replace(inputs, runs={"x": run})


def of_run(part: str, run: RunParams) -> Case:
    return Case(f"runs.x{part}", with_run(run), lambda inputs: train(inputs, run))


def lacking(place: str, split: str, late: Callable[[Inputs], None], **changes: Any) -> Case:
    def change(inputs: Inputs) -> Inputs:
        without(inputs, split)
        return replace(inputs, **changes)

    return Case(place, change, late)


def beginning(file: str) -> RunParams:
    weights = WeightsParams(source="file", file=file, sha256=ANOTHER_HASH)
    return replace(RUN, network=replace(NETWORK, weights=weights))


def counted_in_other_classes(inputs: Inputs) -> Inputs:
    inputs.statistics.write_text(json.dumps(json.loads(inputs.statistics.read_text()) | {"classes": ["a", "b", "c"]}))
    return replace(inputs, training=replace(inputs.training, class_balance=0.5))


PRETRAINING = PretrainingParams(
    iterations=1, backbone="resnet10t", classifier=ClassifierParams(file="nowhere", sha256=ANOTHER_HASH)
)
CASES = {
    "evaluation split": lacking("evaluation.split", "test", benchmarked),
    "training splits": lacking("training.splits", "train", lambda inputs: train(inputs, RUN)),
    "layers' split": lacking("quantization.judged_on", "val", quantized),
    "pretraining split": lacking("pretraining.images", "train", pretrained, pretraining=PRETRAINING),
    "unlabelled images": of_run(".unlabelled_share", replace(TAUGHT, unlabelled_share=0.5)),
    "calibration": Case(
        "quantization.calibration_images",
        lambda inputs: replace(inputs, quantization=QuantizationParams(calibration_images=13)), quantized,
    ),
    "classifier": Case("pretraining", lambda inputs: replace(inputs, pretraining=PRETRAINING), pretrained),
    "missing weights": of_run("", beginning("nowhere.safetensors")),
    "other weights": of_run("", beginning(str(ROOT / "params.yaml"))),
    "unknown backbone": of_run("", replace(RUN, network=replace(NETWORK, backbone="resnet10x"))),
    "nothing to inherit": Case(
        "runs.x", lambda inputs: replace(with_run(replace(RUN, inherit_layers=True))(inputs),
                                         teacher=replace(RUN, network=BOTTLENECKS)),
        lambda inputs: train(inputs, inputs.runs["x"]),
    ),
    "nothing to prune": Case(
        "runs.x", lambda inputs: replace(
            inputs, teacher=replace(RUN, network=BOTTLENECKS),
            runs={"x": replace(RUN, network=BOTTLENECKS, prune=PruneParams(source="teacher", keep=0.5))},
        ),
        lambda inputs: train(inputs, inputs.runs["x"]),
    ),
    "crop without a patch": of_run("", CONTRASTED),
    "class weights": Case("training.class_balance", counted_in_other_classes, lambda inputs: train(inputs, RUN)),
}  # fmt: skip


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.deploy.onnx_export.export_graph", lambda *_: None)


def places(inputs: Inputs, tmp_path: Path) -> list[str]:
    with pytest.raises(NotReady) as refused:
        check_profile(inputs, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    return [complaint.place for complaint in refused.value.complaints]


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("case", CASES)
def test_a_late_error_has_an_early_twin(case: str, inputs: Inputs, tmp_path: Path) -> None:
    place, changed = CASES[case].place, CASES[case].change(inputs)
    with pytest.raises((SegdistillError, ModelError)):
        CASES[case].late(changed)
    assert place in places(changed, tmp_path)


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("method", ["Demanding", "DemandingBefore"])
def test_a_teacher_that_the_method_cannot_use_is_refused_before_it_is_trained(
    method: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "demanding", f"tests.test_preflight:{method}")
    run = replace(RUN, distill={"demanding": 1.0})
    with pytest.raises(TrainingError):
        train(inputs, run)
    assert places(with_run(run)(inputs), tmp_path) == ["runs.x"]


@pytest.mark.usefixtures("no_export")
def test_a_method_that_a_small_crop_has_too_few_cells_for_gets_the_whole(inputs: Inputs, tmp_path: Path) -> None:
    training = replace(inputs.training, crop_height=256, crop_width=320)
    check_profile(replace(inputs, runs={"x": CONTRASTED}, training=training), tmp_path / "out.json")
    assert (tmp_path / "out.json").exists()


@pytest.mark.usefixtures("no_export")
def test_a_key_that_cannot_sign_is_refused(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(SegdistillError):
        sign(b"", tmp_path / "nowhere")
    assert places(inputs, tmp_path) == [KEY_VARIABLE]


@pytest.mark.usefixtures("no_export")
def test_a_disk_that_will_be_full_is_refused(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    monkeypatch.setattr(check, "disk_usage", lambda _: full)
    with pytest.raises(DiskFull), replacing(tmp_path / "checkpoint"):
        raise RuntimeError("an I/O error")  # of a library that does not say which
    assert [place.split()[0] for place in places(inputs, tmp_path)] == ["disk"]


@pytest.mark.slow
def test_a_graph_that_export_refuses_is_refused(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gathered(maps: Tensor, bins: int) -> Tensor:
        return maps[..., torch.arange(bins) % maps.shape[-2], :][..., torch.arange(bins) % maps.shape[-1]]

    monkeypatch.setattr(heads, "pool_to_bins", gathered)
    design = design_of(NETWORK, tuple(ClassTable.load(inputs.classes).names))
    save_checkpoint(build_segmenter(design), design, {}, tmp_path / "checkpoint")
    export = replace(EXPORT, other_shapes=[])
    with pytest.raises(SegdistillError):
        export_run(
            "x", export, PARITY, "test", inputs.classes, inputs.samples, tmp_path / "checkpoint", tmp_path,
            tmp_path / "export", tmp_path / "x.json",
        )  # fmt: skip
    assert places(replace(inputs, export=export), tmp_path) == ["runs.alone", "runs.taught"]


@pytest.mark.usefixtures("no_export")
def test_all_is_said_at_once_and_one_reason_once(inputs: Inputs, tmp_path: Path) -> None:
    without(inputs, "test")
    run = beginning("nowhere.safetensors")
    with pytest.raises(NotReady) as refused:
        check_profile(replace(inputs, runs={"one": run, "two": run}), tmp_path / "out.json")
    assert {complaint.place for complaint in refused.value.complaints} == {"evaluation.split", "runs.one", "runs.two"}
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.usefixtures("no_export")
def test_only_what_is_wrong_is_named(inputs: Inputs, tmp_path: Path) -> None:
    unknown = replace(RUN, network=replace(NETWORK, backbone="resnet10x"))
    assert places(replace(inputs, teacher=unknown), tmp_path) == ["teacher"]


@pytest.mark.usefixtures("no_export")
def test_weights_of_what_was_trained_may_be_gone(inputs: Inputs, tmp_path: Path) -> None:
    """A clone that pulled its checkpoints does not have them."""
    trained = inputs.artifacts / "students/x/checkpoint.safetensors"
    trained.parent.mkdir(parents=True)
    trained.touch()
    check_profile(with_run(beginning("nowhere.safetensors"))(inputs), tmp_path / "out.json")
    first = (tmp_path / "out.json").read_bytes()
    check_profile(inputs, tmp_path / "out.json")
    assert (tmp_path / "out.json").read_bytes() == first  # else all trainings would run again


@pytest.mark.smoke
@pytest.mark.slow
def test_dvc_says_all_of_it_before_the_teacher(tmp_path: Path) -> None:
    weights = {"source": "file", "file": "nowhere.safetensors", "sha256": ANOTHER_HASH}
    write_small_profile(
        tmp_path, ["pspnet_r18", "pspnet_r18_gdd"], quantization={"calibration_images": 500},
        dataset={"options": {"unlabelled_sequences": 0}}, recipes={"pspnet_r18": {"network": {"weights": weights}}},
        runs={"pspnet_r18_gdd": {"unlabelled_share": 0.5}},
    )  # fmt: skip
    done = repro(tmp_path, "student-pspnet_r18_gdd")
    assert done.returncode != 0
    assert "NotReady" in done.stderr
    for place in ("quantization.calibration_images", "runs.pspnet_r18_gdd.unlabelled_share", "runs.pspnet_r18, runs."):
        assert place in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts/teacher").exists()


@pytest.mark.smoke
@pytest.mark.slow
def test_dvc_says_which_networks_and_weights_cannot_be_used(tmp_path: Path) -> None:
    """One image size only, weights of another network, a pickle: one line of ours for each, and no other's words."""
    save_file(build_backbone("seresnet18", 32).network.state_dict(), tmp_path / "another.safetensors")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    networks: dict[str, dict[str, Any]] = {"swin": {"backbone": "swin_tiny_patch4_window7_224"}}
    for name in ("another.safetensors", "weights.pth"):
        weights = {"source": "file", "file": name, "sha256": sha256(tmp_path / name)}
        networks[name.partition(".")[0]] = {"backbone": "resnet18", "weights": weights}
    recipes = {name: {"network": {"architecture": "pspnet", **own}, "iterations": 1} for name, own in networks.items()}
    write_small_profile(tmp_path, [], recipes=recipes, runs={name: {"recipe": name, "seed": 0} for name in recipes})
    done = repro(tmp_path, "preflight")
    assert done.returncode != 0
    said = {line.partition(":")[0].strip(): line for line in done.stderr.splitlines() if "runs." in line}
    assert said.keys() == {f"runs.{name}" for name in recipes}
    assert "layer1.0.se." in said["runs.another"]  # a tensor that resnet18 does not have
    assert "safetensors" in said["runs.weights"]
    assert "Traceback" not in done.stderr
