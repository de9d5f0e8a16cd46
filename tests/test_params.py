"""params.yaml: short, strict, completed by defaults, and with complaints that name the place."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.code_digest import ROOT
from pipeline.dvc_file import check_dvc_file, dvc_file
from pipeline.errors import ParamsError
from pipeline.params.tree import RECIPE, Params, load_params
from pipeline.stage_table import method_settings, stage_table
from tests.raising import raises

DEFAULT = ROOT / "params.yaml"
PROFILES = [ROOT, *sorted(path.parent for path in (ROOT / "profiles").glob("*/params.yaml"))]
OWN_DATA = (ROOT / "profiles/own/params.yaml").read_text()
PRUNED = {"recipe": "pspnet_r18", "prune": {"source": "students/pspnet_r18_gdd", "keep": 0.5}}
PRETRAINING = {"iterations": 5, "classifier": {"file": "a", "sha256": "b"}}

Load = Callable[..., Params]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load the root's params.yaml with changes by dotted paths; DELETE removes a key."""

    def changed(changes: dict[str, Any]) -> Params:
        tree = YAML(typ="safe", pure=True).load(DEFAULT.read_text())
        for path, value in changes.items():
            *sections, key = path.split(".")
            section = tree
            for name in sections:
                section = section.setdefault(name, {})
            section.pop(key, None)
            if value is not DELETE:
                section[key] = value
        (tmp_path / "params.yaml").write_text(json.dumps(tree))
        return load_params(tmp_path / "params.yaml")

    return changed


DELETE = object()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_every_profile_is_valid_and_has_the_dvc_yaml_that_it_asks_for(profile: Path) -> None:
    params = load_params(profile / "params.yaml")
    method_settings(params, params.methods)
    check_dvc_file(profile)


def test_params_files_are_short(tmp_path: Path) -> None:
    assert len(DEFAULT.read_text().splitlines()) <= 90
    assert len(OWN_DATA.strip().splitlines()) <= 25
    (tmp_path / "params.yaml").write_text(OWN_DATA)
    params = load_params(tmp_path / "params.yaml")
    assert params.runs["pspnet_r18_gdd"].baseline == "pspnet_r18"
    assert "student-pspnet_r18_gdd" in dvc_file(tmp_path)


def test_the_default_has_each_student_as_baseline_and_distilled() -> None:
    runs = load_params(DEFAULT).runs
    assert {(run.network.architecture, run.method) for run in runs.values()} == {
        ("pspnet", "none"), ("pspnet", "gdd"), ("deeplabv3", "none"), ("deeplabv3", "gdd"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({"training.batch_sise": 8}, ("training.batch_sise", "'batch_size'")),
        ({"training.batch_size": "8"}, ("training.batch_size", "'8'")),
        ({"training.accumulate": 3}, ("training.batch_size 4", "3 parts")),
        ({"training.accumulate": 8}, ("training.batch_size 4", "8 parts")),
        ({"teacher.training": {"accumulate": 3}}, ("teacher.training.batch_size 4", "3 parts")),
        ({"teacher.training": {"crop_hight": 64}}, ("teacher.training.crop_hight", "'crop_height'")),
        ({"teacher.training": {"splits": ["val"]}, "evaluation.split": "val"}, ("val", "teacher.training.splits")),
        ({"export.height": DELETE}, ("export.height",)),
        ({"teacher.network.architecture": "pspnett"}, ("teacher.network.architecture", "'pspnett'", "'pspnet'")),
        ({"training.validate_every": 5, "training.splits": ["train", "val"]}, ("validate_every", "[train]")),
        ({"training.checkpoint": "best"}, ("checkpoint: best", "validate_every")),
        ({"training.image_scale": 0.5}, ("network.input_scale 1", "image_scale 0.5")),
        ({"runs.pspnet_r18_gdd.distill": {"gdd": 0.0}}, ("runs.pspnet_r18_gdd.distill.gdd", "0.0")),
        ({"runs.pspnet_r18_gdd.distill": {"cdw": 1.0}}, ("runs.pspnet_r18_gdd.distill.cdw", "'cwd'")),
        ({"runs.pspnet_r18.momentum_shift": 0.05}, ("runs.pspnet_r18:", "momentum_shift", "`distill`")),
        ({"runs.pspnet_r18.max_gradient_norm": 5.0}, ("runs.pspnet_r18:", "max_gradient_norm", "`distill`")),
        ({"runs.pspnet_r18.unlabelled_share": 0.5}, ("runs.pspnet_r18:", "unlabelled_share", "`distill`")),
        ({"runs.pspnet_r18.inherit_layers": True}, ("runs.pspnet_r18:", *RECIPE)),
        ({"runs.pspnet_r18_gdd.baseline": "nobody"}, ("runs.pspnet_r18_gdd.baseline", "'nobody'")),
        ({"runs.pspnet_r18_gdd.seed": 1}, ("runs.pspnet_r18_gdd:", *RECIPE)),
        ({"runs.pspnet_r18_gdd.baseline": "deeplabv3_r18"}, ("runs.pspnet_r18_gdd.network", "'deeplabv3_r18'")),
        ({"runs.pspnet_r18.recipe": "pspnet_r81"}, ("runs.pspnet_r18.recipe", "'pspnet_r81'", "'pspnet_r18'")),
        ({"runs.PSP net": {"recipe": "pspnet_r18"}}, ("runs.PSP net",)),
        ({"runs.teacher": {"recipe": "pspnet_r18"}}, ("runs.teacher",)),
        ({"recipes.pspnet_r18.network.backbon": "x"}, ("recipes.pspnet_r18.network.backbon", "'backbone'")),
        ({"training.momentum": 1.0}, ("training.momentum 1.0", "momentum_shift 0.0")),
        ({"comparison.recipe": "pspnet_r18_gdd"}, ("comparison.recipe", "'pspnet_r18_gdd'")),
        ({"comparison.candidates.none": {"distill": {"kd": 1.0}}}, ("comparison: candidates.none",)),
        ({"comparison.candidates.pkd": {}}, ("comparison: candidates.pkd", "`distill`", "`inherit_layers`")),
        ({"comparison.candidates.pkd": {"distill": {"pdk": 6.0}}}, ("comparison.candidates.pkd.distill.pdk", "'pkd'")),
        (
            {"comparison.candidates.x": {"distill": {"kd": 1.0}, "momentum_shift": 0.1}},
            ("comparison.candidates.x.momentum_shift 0.1", "training.momentum 0.9"),
        ),
        ({"methods.kdd": {}}, ("methods.kdd", "'kd'")),
        ({"teacher.network.weights": {"source": "file"}}, ("teacher.network.weights:", "`file`", "`sha256`")),
        ({"export.opset": 17}, ("export.opset", "17")),
        ({"export.resize": "letterboxed"}, ("export.resize", "'letterboxed'", "'letterbox'")),
        ({"training.scale_min": 9.0}, ("training:", "scale_min 9.0", "scale_max 1.2")),
        ({"training.splits": []}, ("training.splits", "[]")),
        ({"training.splits": ["train", "train"]}, ("training: splits", "train, train")),
        ({"training.splits": ["train", "test"]}, ("training.splits.1", "'test'")),
        ({"evaluation.split": "train"}, ("evaluation.split: train", "training.splits")),
        ({"teacher.network.input_scale": 2.0}, ("teacher.network.input_scale", "2.0")),
        ({"runs.pspnet_r18.prune": {"source": "", "keep": 0.5}}, ("runs.pspnet_r18.prune.source", "''")),
        ({"runs.s": PRUNED, "comparison.recipe": "s"}, ("comparison.recipe", "'s'")),
        (
            {"runs.s": {**PRUNED, "prune": {"source": "students/nobody", "keep": 0.5}}},
            ("runs.s.prune.source", "'students/nobody'"),
        ),
        (
            {"runs.s": {**PRUNED, "prune": {"source": "students/s", "keep": 0.5}}},
            ("runs.s.prune.source", "'students/s'"),
        ),
        ({"runs.s": {**PRUNED, "prune": {"source": "teacher", "keep": 0.5}}}, ("runs.s.network.backbone", "'teacher'")),
        (
            {"runs.s": {**PRUNED, "network": {"weights": {"source": "timm"}}}},
            ("runs.s:", "'students/pspnet_r18_gdd'", "weights.source", "inherit_layers"),
        ),
        ({"teacher.network.weights": {"source": "pretraining"}}, ("teacher.network.weights.source", "pretraining")),
        (
            {"recipes.pspnet_r18.network.weights": {"source": "pretraining"}},
            ("runs.pspnet_r18.network.weights.source", "pretraining.iterations"),
        ),
        ({"pretraining": {"iterations": 5}}, ("pretraining: classifier", "`file`", "`sha256`")),
        ({"pretraining": {**PRETRAINING, "images": []}}, ("pretraining: images", "unlabelled")),
        (
            {"pretraining": {**PRETRAINING, "class_weight": 0.0, "feature_weight": 0.0}},
            ("pretraining: class_weight", "feature_weight"),
        ),
        ({"pretraining": {**PRETRAINING, "scale_min": 3.0}}, ("pretraining:", "scale_min 3.0", "scale_max 2.0")),
        (
            {"pretraining": {**PRETRAINING, "backbone": "resnet18"},
             "recipes.pspnet_r18.network.weights": {"source": "pretraining"}},
            ("runs.pspnet_r18.network.backbone", "'resnet18_v1c'", "pretraining.backbone", "'resnet18'"),
        ),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_place(load: Load, changes: dict[str, Any], values: tuple[str, ...]) -> None:
    with raises(ParamsError, *values):
        load(changes)


def test_another_resizing_is_told_to_all_that_measures_and_nothing_that_trains(load: Load) -> None:
    stretch, letterbox = (stage_table(load({"export.resize": mode})) for mode in ("stretch", "letterbox"))
    told = {one.script for one, other in zip(stretch, letterbox, strict=True) if one.settings != other.settings}
    assert told == {"preflight", "evaluate", "export", "quantize", "engine", "benchmark", "release", "inspect"}


@pytest.mark.parametrize(
    ("methods", "values"),
    [
        ({"gdd": {"temprature": 4.0}}, ("methods.gdd.temprature", "'temperature'")),
        ({"gdd": {"temperature": -1.0}}, ("methods.gdd.temperature", "-1.0")),
        ({"ferkd": {"sure_above": 0.3}}, ("methods.ferkd", "unsure_below 0.4", "sure_above 0.3")),
        ({"cirkd_memory": {"pixel_memory": 15}}, ("methods.cirkd_memory", "pixel_memory 15", "cells_per_class")),
    ],
)
def test_settings_of_methods_are_checked_before_anything_runs(
    load: Load, methods: dict[str, Any], values: tuple[str, ...]
) -> None:
    params = load({"methods": methods})
    with raises(ParamsError, *values):
        method_settings(params, params.methods)


def test_all_mistakes_come_at_once(load: Load) -> None:
    with raises(ParamsError, "export.opset", "training.flip_probability"):
        load({"export.opset": 3, "training.flip_probability": 1.5})


def test_a_teacher_overrides_the_training_key_by_key(load: Load) -> None:
    params = load({"teacher.training": {"crop_width": 160, "splits": ["train", "val"]}})
    assert params.teacher_training == replace(params.training, crop_width=160, splits=["train", "val"])
    stages = {stage.name: stage.settings for stage in stage_table(params)}
    assert stages["teacher"]["training"].crop_width == 160
    assert stages["student-pspnet_r18"]["training"].crop_width == params.training.crop_width
    assert stages["curate"]["training_splits"] == ["train", "val"]
    assert "training" not in vars(params.teacher_run)


def test_a_run_replaces_the_weights_of_its_recipe_as_a_whole(load: Load) -> None:
    file = {"source": "file", "file": "backbone.safetensors", "sha256": "0" * 64}
    other = {"recipe": "pspnet_r18", "network": {"weights": {"source": "timm"}}}
    params = load({"recipes.pspnet_r18.network.weights": file, "runs": {"a": {"recipe": "pspnet_r18"}, "b": other}})
    assert vars(params.runs["a"].network.weights) == file
    assert vars(params.runs["b"].network.weights) == {"source": "timm", "file": "", "sha256": ""}


def test_a_run_overrides_its_recipe_key_by_key(load: Load) -> None:
    params = load(
        {
            "recipes.pspnet_r18.distill": {"kd": 1.0},
            "runs": {
                "plain": {"recipe": "pspnet_r18", "distill": {}, "network": {"output_stride": 8}},
                "taught": {"recipe": "pspnet_r18", "network": {"output_stride": 8}},
                "other": {"recipe": "pspnet_r18", "distill": {"cwd": 3.0}, "network": {"output_stride": 8}},
            },
        }
    )
    assert {run.network.output_stride for run in params.runs.values()} == {8}
    assert {run.network.backbone for run in params.runs.values()} == {"resnet18_v1c"}
    assert [dict(run.distill) for run in params.runs.values()] == [{}, {"kd": 1.0}, {"cwd": 3.0}]
    assert {run.baseline for run in params.runs.values()} == {"plain"}


def test_a_baseline_is_derived_for_each_seed(load: Load) -> None:
    more = {"a": {"recipe": "pspnet_r18", "seed": 1}, "b": {"recipe": "pspnet_r18", "seed": 1, "distill": {"kd": 1.0}}}
    runs = load({f"runs.{name}": run for name, run in more.items()}).runs
    assert (runs["b"].baseline, runs["a"].baseline, runs["pspnet_r18_gdd"].baseline) == ("a", "a", "pspnet_r18")


def test_a_pruned_run_has_scale_and_stride_of_its_own(load: Load) -> None:
    run = load({"runs.s": {**PRUNED, "network": {"input_scale": 0.5, "output_stride": 8}}}).run("s")
    assert (run.prune.prunes, run.network.input_scale, run.network.output_stride) == (True, 0.5, 8)


def test_yaml_1_2_numbers(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(OWN_DATA.replace("batch_size: 8}", "batch_size: 8, weight_decay: 5e-4}"))
    assert load_params(path).training.weight_decay == 5e-4


@pytest.mark.parametrize("text", ["a: [1", "", "- 1", "\xff"])
def test_a_file_that_is_no_params_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("latin-1"))
    with raises(ParamsError, path):
        load_params(path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with raises(ParamsError, tmp_path / "params.yaml"):
        load_params(tmp_path / "params.yaml")


def test_an_unknown_run_lists_the_known_ones() -> None:
    with raises(ParamsError, "'x'", "pspnet_r18, pspnet_r18_gdd"):
        load_params(DEFAULT).run("x")
