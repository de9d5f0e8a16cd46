"""The shape of the project, kept by tests: who imports whom, doors of heavy packages, registries, sizes."""

import ast
import pkgutil
import re
from pathlib import Path

import pytest

from models import BACKBONES, HEADS
from pipeline.code_digest import PACKAGES, ROOT, direct_imports
from pipeline.distillation import METHODS
from pipeline.preparation import ADAPTERS
from segdistill_runtime.targets import TARGETS

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

RUNTIME_ERRORS = "segdistill_runtime/errors.py"  # which tells what every package says where memory runs out
GROUND = {"pipeline/errors.py", "pipeline/params", "pipeline/records", "pipeline/data", "pipeline/threads.py"}
TRAINING = GROUND | {"models", "pipeline/training", "pipeline/distillation"}
MEASURING = GROUND | {"models", "segdistill_runtime", "pipeline/runtime", "pipeline/measure"}
MAY_IMPORT: dict[str, set[str]] = {
    "models": {RUNTIME_ERRORS},
    "segdistill_runtime": set(),
    "pipeline/errors.py": set(),
    "pipeline/code_digest.py": set(),
    "pipeline/threads.py": set(),
    "pipeline/params": {"pipeline/errors.py", "segdistill_runtime/images.py"},
    "pipeline/records": {"pipeline/errors.py", "pipeline/params", "pipeline/data/files.py", "segdistill_runtime"},
    "pipeline/data": {"pipeline/errors.py", "pipeline/params", RUNTIME_ERRORS},
    "pipeline/preparation": GROUND,
    "pipeline/curation": GROUND,
    "pipeline/training": GROUND | {"models", "pipeline/measure/accuracy.py"},
    "pipeline/distillation": TRAINING,
    "pipeline/pretraining": TRAINING,
    "pipeline/plan": TRAINING | {"pipeline/stage_table.py"},
    "pipeline/runtime": {"models", "segdistill_runtime", "pipeline/errors.py"},
    "pipeline/measure": MEASURING | {"pipeline/cli.py"},
    "pipeline/deploy": MEASURING,
    "pipeline/inspection": MEASURING | {"pipeline/curation/review.py", "pipeline/cli.py"},
    "pipeline/reporting": GROUND
    | {"pipeline/inspection/records.py", "pipeline/inspection/views.py", "segdistill_runtime"},
    "pipeline/quantization": TRAINING | MEASURING | {"pipeline/deploy"},
    "pipeline/preflight": TRAINING | MEASURING | {"pipeline/deploy"},
    "pipeline/comparison": TRAINING | MEASURING | {"pipeline/stage_table.py", "pipeline/cli.py", "pipeline/reporting"},
    "pipeline/stage_table.py": GROUND
    | {"pipeline/code_digest.py", "pipeline/distillation/method.py", "pipeline/cli.py"}
    | {"pipeline/training/finished.py"},
    "pipeline/dvc_file.py": GROUND | {"pipeline/code_digest.py", "pipeline/stage_table.py"},
    "pipeline/repro.py": GROUND | {"pipeline/stage_table.py", "pipeline/versions", "segdistill_runtime/cuda.py"},
    "pipeline/cli.py": {"pipeline/errors.py", "models/errors.py", "segdistill_runtime"},
    "pipeline/versions": {"pipeline/errors.py", "segdistill_runtime"},
    "pipeline/compare_releases.py": {"pipeline/errors.py"},
    "pipeline/link_data.py": GROUND,
    "pipeline/licenses.py": {"pipeline/errors.py", "pipeline/deploy/requirements_lock.py"},
    "pipeline/audit.py": {"pipeline/errors.py", "pipeline/deploy/requirements_lock.py", "pipeline/licenses.py"},
    "pipeline/doctor.py": {"pipeline/errors.py", "pipeline/cli.py", "segdistill_runtime", "pipeline/inspection"}
    | {"pipeline/training"},
    "pipeline/__main__.py": {"pipeline/errors.py", "pipeline/cli.py", "segdistill_runtime"},
    "stages": {"pipeline"},
}
"""Two wings stand on the ground floor and never meet: training and measuring. Quantization, which may train on, and
comparisons need both. The runtime package knows nothing of the project; the project uses it."""

DOORS: dict[str, set[str]] = {
    "timm": {"models/timm_backbone.py"},
    "onnxruntime": {"segdistill_runtime", "pipeline/quantization/quantizer.py"}
    | {"pipeline/deploy/layer_outputs.py", "pipeline/deploy/onnx_export.py"},
    "onnx": {"pipeline/deploy", "pipeline/quantization/quantizer.py", "pipeline/doctor.py"},
    "onnxscript": {"pipeline/deploy/onnx_export.py"},
    "onnx_ir": {"pipeline/deploy/onnx_export.py"},
    "openvino": {"segdistill_runtime/targets/openvino.py"},
    "tensorrt": {"segdistill_runtime"},
    "tensorrt_rtx": {"segdistill_runtime"},
    "cryptography": {"pipeline/deploy/signing.py", "segdistill_runtime/verify.py"},
    "dvc": {"pipeline/versions", "pipeline/repro.py"},
    "gto": {"pipeline/versions"},
    "matplotlib": {"pipeline/reporting", "pipeline/comparison/charts.py"},
    "scipy": {"pipeline/comparison/results.py"},
    "pynvml": {"pipeline/measure/machine.py"},
    "lightning_fabric": {"pipeline/training/fabric.py"},
    "cv2": {"pipeline/data", "pipeline/preparation", "pipeline/curation", "pipeline/inspection"},
    "fiftyone": {"pipeline/inspection"},
    "pymongo": {"pipeline/inspection/database.py"},
}
REGISTRIES = {"HEADS": HEADS, "BACKBONES": BACKBONES, "METHODS": METHODS, "ADAPTERS": ADAPTERS, "TARGETS": TARGETS}


def _inside(path: Path, areas: set[str]) -> bool:
    relative = path.relative_to(ROOT)
    return any(relative == Path(area) or Path(area) in relative.parents for area in areas)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards_only(path: Path) -> None:
    if path.name == "__init__.py":
        return  # holds no imports: see below
    matching = [area for area in MAY_IMPORT if _inside(path, {area})]
    assert matching, f"{path.relative_to(ROOT)} lies in no area of MAY_IMPORT: say what it may import"
    area = max(matching, key=len)
    wrong = [str(t.relative_to(ROOT)) for t in direct_imports(path) if not _inside(t, MAY_IMPORT[area] | {area})]
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


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.name == "__init__.py" and path.parent.name != "stages"],
    ids=lambda path: str(path.parent.relative_to(ROOT)),
)
def test_packages_hold_docstrings_and_tables_only(path: Path) -> None:
    """Code digests leave out `__init__.py` files, so that a further line of a registry reruns nothing."""
    for node in ast.parse(path.read_text()).body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) else None
        assert value is not None
        ast.literal_eval(value)  # raises for anything that would run


@pytest.mark.parametrize("registry", REGISTRIES)
def test_registries_name_what_exists(registry: str) -> None:
    for name, entry in REGISTRIES[registry].items():
        assert pkgutil.resolve_name(entry) is not None, name


def test_no_file_is_named_for_nothing() -> None:
    nameless = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [path for path in SOURCES if path.stem in nameless or path.parent.name in nameless]


def test_files_are_short() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > LONGEST.get(name, 280)} == {}
    assert {name: count for name, count in lines.items() if name.startswith("stages/") and count > 50} == {}


LONGEST = {
    "pipeline/stage_table.py": 370,
    "pipeline/deploy/release.py": 300,
    "segdistill_runtime/verify.py": 300,
}
"""One table, and a script that must run on a target without the rest."""


def test_errors_are_expected_by_type_and_values() -> None:
    """tests/raising.py: so that messages can be reworded."""
    expected = re.compile(r"\b(raises|warns)\([^\n]*\bmatch=")
    assert [path.name for path in (ROOT / "tests").rglob("*.py") if expected.search(path.read_text())] == []


def test_results_with_one_machine_path_in_them_are_not_committed() -> None:
    """Tracked text must not hold an absolute path of the machine that wrote it."""
    others = [ROOT / name for name in ("params.yaml", "dvc.yaml", "Makefile", "requirements.lock", "licenses.csv")]
    assert not [path for path in [*SOURCES, *others] if str(ROOT) in path.read_text() and Path("/") != ROOT]
