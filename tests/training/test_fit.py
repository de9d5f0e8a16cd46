"""The loop: learns, resumes exactly, refuses to run twice, and stops on a loss that is no number."""

import fcntl
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
import torch
from lightning_fabric.plugins import MixedPrecision
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from models.segmenter import Segmenter
from pipeline.code_digest import ROOT
from pipeline.data.crops import CropDataset, crop_dataset
from pipeline.data.samples import read_samples, write_samples
from pipeline.distillation.gdd import GDD
from pipeline.distillation.method import Method, NoParams
from pipeline.distillation.objective import DistillationObjective
from pipeline.errors import Diverged, MachineError, TrainingError
from pipeline.params.training import TrainingParams, WeightsParams
from pipeline.params.tree import load_params
from pipeline.training.device import device_facts
from pipeline.training.fabric import Fabric, launch
from pipeline.training.finished import drop_known, dvc_name, note_result
from pipeline.training.loop import STATE, Curve, fit, write_curve
from pipeline.training.objective import SupervisedObjective
from pipeline.training.optimizer import polynomial_rate
from pipeline.training.progress import TrainingProgress
from pipeline.training.resume import has_ended, scratch_folder, training_identity
from tests.distillation.outputs import build_method
from tests.raising import raises
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples


@pytest.fixture
def training() -> TrainingParams:
    return toy_training(batch_size=2, log_every=2, checkpoint_every=3)


@pytest.fixture
def crops(tmp_path: Path, training: TrainingParams) -> CropDataset:
    return crop_dataset(read_samples(write_toy_samples(tmp_path / "toy"), "train"), TOY_CLASSES, training, 0, tmp_path)


def _supervised() -> SupervisedObjective:
    torch.manual_seed(0)
    return SupervisedObjective(toy_segmenter()[0], TOY_TASK)


def _fit(
    training: TrainingParams,
    crops: CropDataset,
    scratch: Path,
    iterations: int,
    rate: float = 0.05,
    objective: SupervisedObjective | None = None,
    momentum_shift: float = 0.0,
):
    objective = objective or _supervised()
    curve = fit(
        objective, crops, training, launch(1, training.precision, training.deterministic), name="toy",
        iterations=iterations, learning_rate=rate, momentum_shift=momentum_shift, scratch=scratch,
    )  # fmt: skip
    return objective, curve


def test_the_loss_falls(training: TrainingParams, crops: CropDataset, tmp_path: Path) -> None:
    _, curve = _fit(training, crops, tmp_path, iterations=30)
    assert [row["iteration"] for row in curve] == list(range(2, 31, 2))
    assert curve[-1]["task"] < 0.6 * curve[0]["task"]


def test_a_methods_own_long_gradient_does_not_shorten_the_students_steps(
    training: TrainingParams, crops: CropDataset, tmp_path: Path
) -> None:
    class OwnLayerOnly(Method):
        """Compares nothing: its gradient is far beyond the limit, and never reaches the student."""

        def __init__(self, student: Segmenter):
            super().__init__(NoParams(), student, student, 3)
            self.own = nn.Parameter(torch.zeros(()))

        def forward(self, *_: object) -> torch.Tensor:
            return 1e4 * training.max_gradient_norm * self.own

    alone, _ = _fit(training, crops, tmp_path / "alone", iterations=3)
    student = _supervised().network
    method = OwnLayerOnly(student)
    objective = DistillationObjective(student, toy_segmenter()[0], {"own": method}, {"own": 1.0}, TOY_TASK)
    together, _ = _fit(training, crops, tmp_path / "together", iterations=3, objective=objective)
    assert method.own < 0  # it did take its steps
    for name, tensor in alone.network.state_dict().items():
        assert torch.equal(tensor, together.network.state_dict()[name]), name


def _distilling() -> DistillationObjective:
    teacher = toy_segmenter()[0]
    student = _supervised().network
    method = GDD(GDD.Params(), student, teacher, 1)
    return DistillationObjective(student, teacher, {"gdd": method}, {"gdd": 1.0}, TOY_TASK)


class WithoutStatistics(nn.Module):
    """BatchNorm sees one part of a batch at a time, dropout crops for each: without both, parts add up to the whole."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d | nn.Dropout2d):
                module.eval()
        return self


class Alone(WithoutStatistics, SupervisedObjective):
    pass


class WithTeacher(WithoutStatistics, DistillationObjective):
    pass


@pytest.mark.parametrize("method", ["none", "kd", "skd_pixel"])
def test_accumulated_parts_are_the_whole_batch(
    training: TrainingParams, crops: CropDataset, tmp_path: Path, method: str
) -> None:
    curves = []
    for accumulate in (1, 2):
        accumulating = replace(training, batch_size=4, accumulate=accumulate, log_every=1)
        student = _supervised().network
        objective = Alone(student, TOY_TASK)
        if method != "none":
            teacher = toy_segmenter()[0]
            chosen = {method: build_method(method, {}, student, teacher, 4)}
            objective = WithTeacher(student, teacher, chosen, {method: 0.1}, TOY_TASK)
        curves.append(_fit(accumulating, crops, tmp_path / str(accumulate), 4, rate=0.01, objective=objective)[1])
    for whole, accumulated in zip(*curves, strict=True):
        assert accumulated["total"] == pytest.approx(whole["total"], rel=1e-4)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(3, 2), (2, 2)])
def test_a_batch_that_cannot_be_shared_is_refused(
    training: TrainingParams, crops: CropDataset, tmp_path: Path, batch_size: int, accumulate: int
) -> None:
    with raises(MachineError, f"training.batch_size {batch_size}", f"{accumulate} part"):
        _fit(replace(training, batch_size=batch_size, accumulate=accumulate), crops, tmp_path, 1)


def test_half_precision_on_a_cpu_is_refused() -> None:
    with raises(MachineError, "training.precision", "fp16", "GPU"):
        launch(1, "fp16", False)


@pytest.mark.parametrize(
    ("make", "shift"),
    [(_supervised, 0.0), pytest.param(_distilling, 0.0, marks=pytest.mark.slow), (_distilling, 0.05)],
)
def test_a_resumed_training_ends_where_the_uninterrupted_one_does(
    training: TrainingParams,
    crops: CropDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], SupervisedObjective],
    shift: float,
) -> None:
    def train(folder: str) -> tuple[SupervisedObjective, Curve]:
        torch.manual_seed(5)
        return _fit(training, crops, tmp_path / folder, 8, objective=make(), momentum_shift=shift)

    whole, whole_curve = train("whole")

    class Killed(Exception):
        pass

    def die_at_six(self: TrainingProgress, iteration: int, terms: dict[str, float]) -> None:
        if iteration == 6:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "show", die_at_six)
        with pytest.raises(Killed):
            train("cut")
    assert (tmp_path / "cut" / STATE).is_file()
    resumed, resumed_curve = train("cut")

    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    timeless = [{k: v for k, v in row.items() if k != "iterations_per_s"} for row in whole_curve]
    assert [{k: v for k, v in row.items() if k != "iterations_per_s"} for row in resumed_curve] == timeless


def test_a_state_holds_no_teacher_and_a_damaged_one_starts_anew(
    training: TrainingParams, crops: CropDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fit(training, crops, tmp_path, iterations=4)
    assert not [name for name in load_file(tmp_path / STATE) if "teacher" in name]
    (tmp_path / STATE).write_bytes(b"half a fi")
    _, curve = _fit(training, crops, tmp_path, iterations=4)
    assert curve[-1]["iteration"] == 4
    assert str(tmp_path / STATE) in capsys.readouterr().out


def test_a_diverged_loss_stops_and_names_the_samples(
    training: TrainingParams, crops: CropDataset, tmp_path: Path
) -> None:
    with raises(Diverged, "learning_rate", "training.on_bad_loss") as ended:
        _fit(training, crops, tmp_path, iterations=20, rate=1e20)
    assert re.search(r"iteration \d+ .*toy_\d", str(ended.value))


def test_crops_do_not_depend_on_order_or_workers(training: TrainingParams, crops: CropDataset) -> None:
    first = [crops[i] for i in range(6)]
    again = [crops[i] for i in reversed(range(6))][::-1]
    for (*arrays, sample), (*arrays2, sample2) in zip(first, again, strict=True):
        assert sample == sample2
        assert all((array == array2).all() for array, array2 in zip(arrays, arrays2, strict=True))
    assert {crops[i][3] for i in range(4)} == {sample.id for sample in crops.samples}


def test_a_state_of_another_training_is_not_resumed_and_the_log_says_what_changed(
    training: TrainingParams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, classes = write_toy_samples(tmp_path / "toy"), tmp_path / "toy/classes.json"

    def identity(kind: str = "cpu", code: str = "a", **changes: object) -> dict:
        changed = replace(training, **changes)  # type: ignore[reportArgumentType]
        return training_identity(code, classes, samples, {}, training=changed, **device_facts("fp32", kind))

    def unfinished(identity: dict) -> Path:
        with pytest.raises(RuntimeError), scratch_folder(tmp_path, "run", identity, True) as folder:
            raise RuntimeError
        return folder

    first = unfinished(identity())
    assert unfinished(identity()) == first
    assert not capsys.readouterr().out
    for other, changed in (
        (identity(momentum=0.8), "training"),
        (identity(code="b"), "code, training"),
        (identity("cuda"), "code, device (cpu -> cuda)"),
    ):
        folder = unfinished(other)
        assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]
        out = capsys.readouterr().out
        assert out.startswith("run: ")
        assert out.endswith(f": {changed}\n")
    write_samples(samples, read_samples(samples)[::-1])
    unfinished(identity("cuda"))
    assert capsys.readouterr().out.endswith(": samples\n")


def test_an_identity_does_not_say_where_files_lie(training: TrainingParams, tmp_path: Path) -> None:
    network = load_params(ROOT / "params.yaml").teacher.network

    def identity(folder: Path, sha256: str = "5") -> dict:
        samples = write_toy_samples(folder)
        weights = WeightsParams(source="file", file=str(folder / "weights.safetensors"), sha256=sha256)
        settings = {"run": replace(network, weights=weights), "training": training}
        return training_identity("", folder / "classes.json", samples, {"teacher": samples.parent / "file"}, **settings)

    for folder in (tmp_path / "one", tmp_path / "another"):
        folder.mkdir()
        (folder / "file").write_bytes(b"weights")
    one, another = identity(tmp_path / "one"), identity(tmp_path / "another")
    assert one == another
    assert str(tmp_path) not in str(one)
    assert one != identity(tmp_path / "one", sha256="6")


def test_a_finished_training_stays_until_dvc_lock_has_its_output(
    training: TrainingParams, crops: CropDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch, lock, out = tmp_path / "scratch", tmp_path / "dvc.lock", tmp_path / "out"
    with scratch_folder(scratch, "run", {}, True) as folder:
        first, curve = _fit(training, crops, folder, iterations=4)
    assert has_ended(folder / STATE, 4)
    assert not has_ended(folder / STATE, 5)
    write_curve(out / "training.csv", curve)
    note_result(folder, out)
    md5 = dvc_name(out)
    another = f"{'0' * 32}.dir"
    stages = {"teacher": {"outs": [{"path": out.as_posix(), "md5": another}, {"path": "report.json"}]},
              "evaluate": {"deps": [{"path": out.as_posix(), "md5": md5}]}}  # fmt: skip
    for content in ("", "stages:\n  teac", json.dumps({"stages": stages})):
        lock.write_text(content)
        drop_known(scratch, lock)
        second, again = _fit(training, crops, folder, iterations=4)
        assert again == curve  # and its speeds: nothing was trained
        assert all(torch.equal(t, second.state_dict()[name]) for name, t in first.state_dict().items())
    stages["teacher"]["outs"][0]["md5"] = md5
    lock.write_text(json.dumps({"stages": stages}))
    drop_known(scratch, lock)
    assert not folder.exists()
    assert capsys.readouterr().out.count("toy: 4/4") == 1


def test_progress_survives_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch_folder(tmp_path, "run", {}, True) as folder:
        (folder / STATE).touch()
        raise RuntimeError
    assert (folder / STATE).is_file()


def test_two_trainers_of_one_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            raises(TrainingError, "run", tmp_path / "run/lock"),
            scratch_folder(tmp_path, "run", {}, True),
        ):
            pass


def test_the_schedule_is_mmsegs() -> None:
    assert polynomial_rate(0, 100, 0.01, 1e-4, 0.9) == pytest.approx(0.01)
    assert polynomial_rate(100, 100, 0.01, 1e-4, 0.9) == pytest.approx(1e-4)
    assert polynomial_rate(50, 100, 0.01, 1e-4, 0.9) == pytest.approx((0.01 - 1e-4) * 0.5**0.9 + 1e-4)


def test_the_progress_line_counts_from_where_it_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    ticks = iter([0.0, 10.0, 20.0])
    progress = TrainingProgress("run", 50, 100, True, clock=lambda: next(ticks))
    progress.show(60, {"task": 0.6})
    assert re.fullmatch(r"run: \D+ 50 \D+ 100\n", capsys.readouterr().out)
    progress.show(90, {"task": 0.5})
    assert re.fullmatch(r"run: 90/100  2\.00 it/s  0\.1 min \w+  task 0\.5000\n", capsys.readouterr().out)


def test_the_curve_is_a_csv(tmp_path: Path) -> None:
    write_curve(tmp_path / "training.csv", [{"iteration": 10, "task": 0.123456789}, {"iteration": 20, "task": 0.1}])
    assert (tmp_path / "training.csv").read_text() == "iteration,task\n10,0.123457\n20,0.1\n"


def test_half_precision_begins_and_resumes_with_its_loss_scale(
    training: TrainingParams, crops: CropDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU, which PyTorch scales too: there is no state of a scale at first, and an empty one is refused."""
    monkeypatch.setattr("pipeline.training.optimizer.FlatSGD", torch.optim.SGD)  # as on a GPU
    curves = []
    for iterations in (3, 4):  # the second begins where the first ended
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        fabric = Fabric(accelerator="cpu", devices=1, plugins=plugin)
        curves.append(
            fit(
                _supervised(),
                crops,
                training,
                fabric,
                name="toy",
                iterations=iterations,
                learning_rate=0.01,
                scratch=tmp_path,
            )
        )
    assert [row["iteration"] for row in curves[1]] == [2, 3, 4]
    assert safe_open(tmp_path / STATE, framework="pt").metadata()["state"].count('"scale": {"scale"') == 1
