"""params.yaml: strict, complete, and with complaints that a person can act on."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.params import ParamsError, load_params

DEFAULT = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(old: str, new: str) -> Path:
        text = DEFAULT.read_text()
        assert old in text
        path = tmp_path / "params.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return write


def test_the_default_has_each_student_as_baseline_and_distilled() -> None:
    runs = load_params(DEFAULT).runs
    assert {(run.network.architecture, run.method) for run in runs.values()} == {
        ("pspnet", "none"), ("pspnet", "gdd"), ("deeplabv3", "none"), ("deeplabv3", "gdd"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("temperature: 4.0", "temprature: 4.0", r"methods.gdd.temprature: unknown key; did you mean 'temperature'"),
        ("  batch_size: 8", "  batch_size: '8'", r"training.batch_size: Input should be a valid integer \(got '8'\)"),
        ("architecture: pspnet", "architecture: pspnett", r"teacher.network.architecture: .*'pspnet' or 'deeplabv3'"),
        ("  momentum: 0.9\n", "", r"training.momentum: missing"),
        (
            "image_scale: 1.0",
            "image_scale: 0.5",
            r"network.input_scale 1 is larger than training.image_scale 0.5",
        ),
        (
            "distill: {gdd: 20.0}",
            "distill: {gdd: 0.0}",
            r"runs.pspnet_r18_gdd.distill.gdd: Input should be greater than 0",
        ),
        (
            "distill: {gdd: 20.0}",
            "distill: {cdw: 20.0}",
            r"distill: no method 'cdw'; did you mean 'cwd'",
        ),
        ("momentum_shift: 0.0", "momentum_shift: 0.05", r"runs.pspnet_r18: momentum_shift: there is no distillation"),
        ("momentum: 0.9", "momentum: 1.0", r"come to 1 or more"),
        (
            "recipe: pspnet_r18",
            "recipe: pspnet_r18_gdd",
            r"comparison.recipe: 'pspnet_r18_gdd' must name a run without",
        ),
        ("    pkd: {pkd", "    none: {pkd", r"comparison: candidates.none: the name is taken by the baseline"),
        ("{pkd: 6.0}", "{}", r"comparison: candidates.pkd: has nothing from the teacher"),
        ("{pkd: 6.0}", "{pdk: 6.0}", r"comparison.candidates.pkd: no method 'pdk'; did you mean 'pkd'"),
        (
            "{kd_dot: 0.075}",
            "{kddot: 0.075}",
            r"comparison: momentum_shift: no candidate 'kddot'; did you mean 'kd_dot'",
        ),
        ("{kd_dot: 0.075}", "{kd_dot: 0.1}", r"comparison.kd_dot.momentum_shift 0.1 and .* come to 1 or more"),
        ("unlabelled_share: 0.0", "unlabelled_share: 0.5", r"without distillation an unlabelled image teaches nothing"),
        ("inherit_layers: false", "inherit_layers: true", r"runs.pspnet_r18.baseline: .* without a teacher"),
        ("sure_above: 0.95", "sure_above: 0.3", r"methods.ferkd: unsure_below 0.4 is larger than sure_above 0.3"),
        ("pixel_memory: 20000", "pixel_memory: 15", r"cirkd_memory: pixel_memory 15 is shorter"),
        ("baseline: pspnet_r18\n", "baseline: nobody\n", r"runs.pspnet_r18.baseline: 'nobody' must name a run without"),
        ("source: none, file: ''", "source: file, file: ''", r"`file` and `sha256` must both be given"),
        ("opset: 20", "opset: 17", r"export.opset: Input should be greater than or equal to 18 \(got 17\)"),
        ("scale_min: ", "scale_min: 9", r"scale_min .* is larger than scale_max"),
        ("splits: [train]", "splits: []", r"training.splits: .* at least 1 item"),
        ("splits: [train]", "splits: [train, train]", r"training: splits: train, train names a split twice"),
        ("splits: [train]", "splits: [train, test]", r"training.splits.1: Input should be 'train' or 'val'"),
        ("split: test", "split: train", r"evaluation.split: train is among training.splits"),
        ("  pspnet_r18:\n", "  PSP net:\n", r"runs.PSP net"),
        (
            "input_scale: 1.0",
            "input_scale: 2.0",
            r"teacher.network.input_scale: .* less than or equal to 1 \(got 2.0\)",
        ),
        (
            "{source: teacher, keep: 1.0}",
            "{source: '', keep: 0.5}",
            r"runs.pspnet_r18.prune.source: String should match",
        ),
        ("{source: teacher, keep: 1.0}", "{source: students/pspnet_r18_gdd, keep: 1.0}", r"nothing comes from 'stud"),
        ("{source: teacher, keep: 1.0}", "{source: teacher, keep: 0.5}", r"runs.pspnet_r18_gdd.prune differs from"),
    ],
)
def test_every_mistake_is_named_with_its_place(
    changed: Callable[[str, str], Path], old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ParamsError, match=complaint):
        load_params(changed(old, new))


def test_a_gain_needs_equal_recipes(changed: Callable[[str, str], Path]) -> None:
    text = DEFAULT.read_text()
    before, after = text.split("  pspnet_r18_gdd:", 1)
    path = changed("seed: 0", "seed: 0")
    path.write_text(before + "  pspnet_r18_gdd:" + after.replace("    seed: 0", "    seed: 1", 1))
    with pytest.raises(ParamsError, match=r"runs.pspnet_r18_gdd.seed differs from that of its baseline 'pspnet_r18'"):
        load_params(path)


def test_all_mistakes_come_at_once(changed: Callable[[str, str], Path]) -> None:
    path = changed("temperature: 4.0", "temperature: -1.0")
    path.write_text(path.read_text().replace("flip_probability: 0.5", "flip_probability: 1.5"))
    with pytest.raises(ParamsError) as raised:
        load_params(path)
    assert "methods.gdd.temperature" in str(raised.value)
    assert "training.flip_probability" in str(raised.value)


def test_yaml_1_2_numbers(changed: Callable[[str, str], Path]) -> None:
    assert load_params(changed("weight_decay: 0.0005", "weight_decay: 5e-4")).training.weight_decay == 5e-4


@pytest.mark.parametrize(
    ("text", "complaint"), [("a: [1", "is not YAML"), ("", "is not valid"), ("- 1", "is not valid")]
)
def test_a_file_that_is_no_params_file(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=complaint):
        load_params(path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=str(tmp_path)):
        load_params(tmp_path / "params.yaml")


def test_an_unknown_run_lists_the_known_ones() -> None:
    with pytest.raises(ParamsError, match=r"no run 'x' in params.yaml; its runs are pspnet_r18, pspnet_r18_gdd"):
        load_params(DEFAULT).run("x")


PRUNED = """
  small:
    network:
      architecture: pspnet
      backbone: resnet18_v1c
      weights: {source: none, file: '', sha256: ''}
      input_scale: 0.5
      output_stride: 8
      head_channels: 128
      auxiliary_channels: 64
    prune: {source: students/pspnet_r18_gdd, keep: 0.5}
    distill: {}
    momentum_shift: 0.0
    inherit_layers: false
    unlabelled_share: 0.0
    baseline: small
    iterations: 220
    learning_rate: 0.05
    seed: 0

methods:"""


def test_a_pruned_run_has_scale_and_stride_of_its_own(changed: Callable[[str, str], Path]) -> None:
    run = load_params(changed("\nmethods:", PRUNED)).run("small")
    assert (run.prune.prunes, run.network.input_scale, run.network.output_stride) == (True, 0.5, 8)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("students/pspnet_r18_gdd", "students/nobody", r"runs.small.prune.source: 'students/nobody' must name"),
        ("students/pspnet_r18_gdd", "students/small", r"runs.small.prune.source: 'students/small' must name"),
        ("students/pspnet_r18_gdd", "teacher", r"runs.small.network.backbone differs from that of 'teacher'"),
        (
            "{source: none, file: '', sha256: ''}",
            "{source: timm, file: '', sha256: ''}",
            r"runs.small: a pruned network",
        ),
    ],
)
def test_a_pruned_run_must_fit_its_source(
    changed: Callable[[str, str], Path], old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ParamsError, match=complaint):
        load_params(changed("\nmethods:", PRUNED.replace(old, new)))


PRETRAINED = {"iterations": "5", "file": "a", "sha256": "b"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, "runs.pspnet_r18.network.weights.source is pretraining, and pretraining.iterations is 0"),
        ({"iterations": "5"}, "pretraining: classifier: `file` and `sha256` must be given"),
        ({**PRETRAINED, "images": "[]"}, "pretraining: images: name train, unlabelled"),
        (
            {**PRETRAINED, "class_weight": "0.0", "feature_weight": "0.0"},
            "pretraining: class_weight and feature_weight are both 0",
        ),
        ({**PRETRAINED, "scale_min": "3.0"}, "pretraining: scale_min 3.0 is larger than scale_max 2.0"),
        (
            {**PRETRAINED, "backbone": "resnet18"},
            r"runs.pspnet_r18.network.backbone is 'resnet18_v1c', pre-trained is 'resnet18'",
        ),
        (PRETRAINED, ""),
    ],
)
def test_pretraining_must_be_asked_for_whole(changes: dict[str, str], complaint: str, tmp_path: Path) -> None:
    head, pretraining, runs = re.split(r"(?m)^(?=pretraining:|runs:)", DEFAULT.read_text())
    for key, value in changes.items():
        value_now = r"\[[^]]*\]" if key == "images" else r"[^,}\s]+"
        pretraining, count = re.subn(rf"\b{key}: {value_now}", f"{key}: {value}", pretraining, count=1)
        assert count == 1
    runs = runs.replace("weights: {source: none", "weights: {source: pretraining", 2)  # a run and its baseline
    (tmp_path / "params.yaml").write_text(head + pretraining + runs)
    if complaint:
        with pytest.raises(ParamsError, match=complaint):
            load_params(tmp_path / "params.yaml")
    else:
        assert load_params(tmp_path / "params.yaml").pretraining.iterations == 5


def test_a_teacher_is_not_pretrained_here(changed: Callable[[str, str], Path]) -> None:
    with pytest.raises(ParamsError, match=r"teacher.network.weights.source: pretraining is for students"):
        load_params(changed("weights: {source: none", "weights: {source: pretraining"))


def test_a_comparison_has_no_pruned_recipe(changed: Callable[[str, str], Path]) -> None:
    path = changed("\nmethods:", PRUNED)
    path.write_text(path.read_text().replace("recipe: pspnet_r18", "recipe: small"))
    with pytest.raises(ParamsError, match="'small' must name a run without a teacher that prunes nothing"):
        load_params(path)
