"""The shape of the project, kept by tests: who imports whom, heavy packages' doors, DVC's deps, profiles, sizes."""

import ast
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.comparison.code import PACKAGES, ROOT, closure, direct_imports
from pipeline.params import load_params

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PROFILES = [ROOT, *sorted(path.parent for path in (ROOT / "profiles").glob("*/params.yaml"))]

MAY_IMPORT: dict[str, set[str]] = {
    "models": set(),
    "pipeline/errors.py": set(),
    "pipeline/params": {"pipeline/errors.py"},
    "pipeline/data": {"pipeline/errors.py"},
    "pipeline/preparation": {"pipeline/data", "pipeline/params", "pipeline/errors.py"},
    "pipeline/curation": {"pipeline/data", "pipeline/params", "pipeline/errors.py"},
    "pipeline/training": {"pipeline/data", "pipeline/params", "pipeline/errors.py", "models"},
    "pipeline/distillation": {
        "pipeline/training", "pipeline/data", "pipeline/params", "pipeline/errors.py", "models",
    },
    "pipeline/pretraining": {
        "pipeline/distillation", "pipeline/training", "pipeline/data", "pipeline/params", "pipeline/errors.py",
        "models",
    },
    "pipeline/deploy/bundle": set(),
    "pipeline/runtime": {"models", "pipeline/errors.py", "pipeline/deploy/bundle"},
    "pipeline/measure": {
        "pipeline/runtime", "pipeline/data", "pipeline/params", "pipeline/errors.py", "pipeline/deploy/bundle",
        "models",
    },
    "pipeline/deploy": {
        "pipeline/measure", "pipeline/runtime", "pipeline/data", "pipeline/params", "pipeline/errors.py",
        "pipeline/door.py", "models",
    },
    "pipeline/quantization": {
        "pipeline/distillation", "pipeline/training", "pipeline/deploy", "pipeline/measure", "pipeline/runtime",
        "pipeline/data", "pipeline/params", "pipeline/errors.py", "models",
    },
    "pipeline/releases_compared": {"pipeline/errors.py", "pipeline/door.py"},
    "pipeline/versions": {"pipeline/deploy/bundle/verify.py", "pipeline/errors.py", "pipeline/door.py"},
    "pipeline/supply": {"pipeline/deploy", "pipeline/data", "pipeline/errors.py", "pipeline/door.py"},
    "pipeline/inspection": {
        "pipeline/measure", "pipeline/runtime", "pipeline/data", "pipeline/params", "pipeline/errors.py",
        "pipeline/door.py", "pipeline/curation/review.py", "models",
    },
    "pipeline/reporting": {
        "pipeline/data", "pipeline/params", "pipeline/errors.py", "pipeline/inspection/records.py",
        "pipeline/inspection/views.py",
    },
    "pipeline/doctor.py": {"pipeline/training", "pipeline/inspection/mongod.py", "pipeline/inspection/database.py"},
    "pipeline/door.py": {"pipeline/errors.py", "models/errors.py"},
    "pipeline/comparison": {
        "pipeline/distillation", "pipeline/training", "pipeline/measure", "pipeline/reporting", "pipeline/data",
        "pipeline/params", "pipeline/errors.py", "pipeline/door.py", "models",
    },
    "stages": {"pipeline", "models/errors.py"},
}  # fmt: skip
"""Two wings stand on the ground floor (models, data, params, errors) and never meet: learn it, and run it. A comparison
and quantization with further training need both and stand above them. What is inside a bundle knows nothing of the
project; the project may use it."""

DOORS: dict[str, set[str]] = {
    "timm": {"models/backbone.py"},
    "onnxruntime": {
        "pipeline/runtime/onnx_runner.py",
        "pipeline/runtime/nodes.py",
        "pipeline/deploy/probing.py",
        "pipeline/quantization/quantizer.py",
        "pipeline/deploy/bundle/runner/runtimes.py",
        "pipeline/doctor.py",
    },
    "onnx": {
        "pipeline/deploy/onnx_export.py",
        "pipeline/deploy/onnx_rules.py",
        "pipeline/deploy/probing.py",
        "pipeline/deploy/isaac_ros.py",
        "pipeline/quantization/quantizer.py",
        "pipeline/doctor.py",
    },
    "onnxscript": {"pipeline/deploy/onnx_export.py"},
    "onnx_ir": {"pipeline/deploy/onnx_export.py"},
    "openvino": {"pipeline/runtime/openvino_runner.py", "pipeline/deploy/bundle/runner/runtimes.py"},
    "cryptography": {"pipeline/deploy/signing.py", "pipeline/deploy/bundle/verify.py"},
    "dvc": {"pipeline/versions/project.py"},
    "gto": {"pipeline/versions"},
    "matplotlib": {"pipeline/measure/pictures.py", "pipeline/reporting", "pipeline/comparison/charts.py"},
    "scipy": {"pipeline/comparison/gain.py"},
    "pynvml": {"pipeline/measure/energy.py"},
    "lightning": {"pipeline/training"},
    "cv2": {"pipeline/data", "pipeline/preparation", "pipeline/curation", "pipeline/inspection"},
    "fiftyone": {"pipeline/inspection/app.py", "pipeline/inspection/dataset.py"},
    "pymongo": {"pipeline/inspection/mongod.py", "pipeline/inspection/database.py"},
}
TENSORRT_DOORS = {
    "pipeline/deploy/bundle/on_target", "pipeline/deploy/bundle/segmenter.py",
    "pipeline/runtime/tensorrt_runner.py", "pipeline/doctor.py",
}  # fmt: skip

NOT_IN_DEPS = {"pipeline/params", "pipeline/errors.py", "models/errors.py", "pipeline/door.py"}
"""Values of params.yaml are tracked by `params:`; the others hold messages only."""


def _inside(path: Path, areas: set[str]) -> bool:
    relative = path.relative_to(ROOT)
    return any(relative == Path(area) or Path(area) in relative.parents for area in areas)


def _area(path: Path) -> str:
    matching = [area for area in MAY_IMPORT if _inside(path, {area})]
    assert matching, f"{path.relative_to(ROOT)} lies in no area of MAY_IMPORT: say what it may import"
    return max(matching, key=len)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards_only(path: Path) -> None:
    if path.read_text() == "":
        return
    area = _area(path)
    # Packages' empty __init__ files are on the way to every module and say nothing.
    targets = [target for target in direct_imports(path) if target.read_text().strip()]
    wrong = [str(t.relative_to(ROOT)) for t in targets if not _inside(t, MAY_IMPORT[area] | {area})]
    assert not wrong, f"{path.relative_to(ROOT)} must not import {wrong}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_have_doors(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
        for name in names:
            doors = DOORS.get(name.split(".")[0])
            assert doors is None or _inside(path, doors), (
                f"{path.relative_to(ROOT)} imports {name}; its doors are {doors}"
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tensorrt_is_named_at_its_doors_only(path: Path) -> None:
    """It is imported by name at run time, so the text is searched."""
    loads = "import_module(" in path.read_text() and "tensorrt" in path.read_text()
    assert not loads or _inside(path, TENSORRT_DOORS)


def test_no_file_is_named_for_nothing() -> None:
    nameless = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [path for path in SOURCES if path.stem in nameless or path.parent.name in nameless]


def _stages() -> list:
    with Repo(str(ROOT)) as repo:
        return [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]


STAGES = _stages()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.addressing)
def test_deps_cover_every_file_the_stage_runs(stage) -> None:
    script = ROOT / (stage.cmd.split(" -m ")[1].split()[0].replace(".", "/") + ".py")
    declared = [Path(dep.fs_path) for dep in stage.deps]
    files = [path for path in closure(script) if path.read_text().strip()]
    missing = sorted(
        str(path.relative_to(ROOT))
        for path in files
        if not _inside(path, NOT_IN_DEPS) and not any(path == d or d in path.parents for d in declared)
    )
    assert not missing, f"{stage.addressing} runs these files but dvc.yaml does not list them: {missing}"


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.addressing)
def test_deps_name_no_code_that_the_stage_does_not_run(stage) -> None:
    script = ROOT / (stage.cmd.split(" -m ")[1].split()[0].replace(".", "/") + ".py")
    files = closure(script)
    code = [Path(dep.fs_path) for dep in stage.deps if Path(dep.fs_path).suffix == ".py"]
    idle = [str(path.relative_to(ROOT)) for path in code if path not in files]
    assert not idle, f"{stage.addressing} reruns when these change but never runs them: {idle}"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_every_profile_is_the_same_pipeline_with_valid_params(profile: Path) -> None:
    assert (profile / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes(), "copy the root's dvc.yaml"
    params = load_params(profile / "params.yaml")
    assert (profile / params.root).resolve() == ROOT


def test_results_with_one_machine_path_in_them_are_not_committed() -> None:
    """Tracked text must not hold an absolute path of the machine that wrote it."""
    tracked = [
        *SOURCES,
        ROOT / "params.yaml",
        ROOT / "dvc.yaml",
        ROOT / "Makefile",
        ROOT / "requirements.lock",
        ROOT / "licenses.csv",
    ]
    assert not [path for path in tracked if str(ROOT) in path.read_text() and Path("/") != ROOT]
