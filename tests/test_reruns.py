"""What reruns after an edit, as DVC sees it: the table in docs/explanation/reruns.md, through the real command line.

Nothing is trained: the outputs are stand-ins that `dvc commit` takes for those of the parameters and the code at hand.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.code_digest import PACKAGES, ROOT
from pipeline.params.tree import load_params
from pipeline.stage_table import stage_table
from tests.small_profile import environment

pytestmark = [pytest.mark.smoke, pytest.mark.slow]
RUNS = {"kd": "  pspnet_r18_kd: {recipe: pspnet_r18, distill: {kd: 1.0}, seed: 0}\n"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose stages all count as finished."""
    folder = tmp_path_factory.mktemp("project")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    params = (ROOT / "params.yaml").read_text()
    assert "\nruns:" in params
    head, tail = params.split("  deeplabv3_r18: {recipe", 1)
    (folder / "params.yaml").write_text(head + RUNS["kd"] + "  deeplabv3_r18: {recipe" + tail)
    (folder / "review.csv").write_bytes((ROOT / "review.csv").read_bytes())
    (folder / ".dvcignore").write_bytes((ROOT / ".dvcignore").read_bytes())
    (folder / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "init", "--quiet")
    call(folder, sys.executable, "-m", "pipeline", "stages")
    call(folder, sys.executable, "-m", "stages.resolve")
    stand_ins(folder)
    call(folder, "dvc", "commit", "--force", "--quiet")
    assert stale(folder) == set()
    call(folder, "git", "add", "--all")
    call(
        folder, "git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--message", "All is finished"
    )
    return folder


def stand_ins(folder: Path) -> None:
    for stage in stage_table(load_params(folder / "params.yaml")):
        for out in (*stage.outs, *stage.metrics):
            path = folder / out
            if path.suffix in (".json", ".html", ".md"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(path.read_text() if path.is_file() else json.dumps({"of": stage.name}))
            elif not path.exists():
                path.mkdir(parents=True)
                (path / "file").write_text(stage.name)
        for dep in stage.deps:
            path = folder / dep
            if not path.exists() and path.suffix:  # a file in a folder that another stage writes
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(dep)


def call(folder: Path, *command: str) -> str:
    variables = {**environment(), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stale(folder: Path) -> set[str]:
    """Stages that DVC would run, not counting those that only follow another that would."""
    return set(json.loads(call(folder, "dvc", "status", "--json"))) - {"resolve", "preflight"}  # which take seconds


@pytest.fixture
def after(project: Path) -> Callable[..., set[str]]:
    """Edit files, resolve, ask DVC, and undo."""
    resolved = project / "artifacts/resolved.json"
    undo: list[Callable[[], object]] = [partial(resolved.write_bytes, resolved.read_bytes())]

    def edit(*edits: tuple[str, str, str], stages: bool = False) -> set[str]:
        for name, old, new in edits:
            path = project / name
            text = path.read_text() if path.is_file() else ""
            assert old in text
            undo.append(partial(path.write_text, text) if path.is_file() else path.unlink)
            path.write_text(text.replace(old, new, 1))
        if stages:
            dvc_yaml = project / "dvc.yaml"
            undo.append(partial(dvc_yaml.write_text, dvc_yaml.read_text()))
            call(project, sys.executable, "-m", "pipeline", "stages")
        call(project, sys.executable, "-m", "stages.resolve")
        return stale(project)

    yield edit
    for restore in reversed(undo):
        restore()


def of_runs(project: Path, *runs: str, scripts: tuple[str, ...]) -> set[str]:
    return {f"{script}-{run}" for script in scripts for run in runs}


TRAINS = ("student", "quantize")
"""Stages that run the code of a run's method: quantize trains on where calibration alone is over budget."""


def test_a_method_file_reruns_its_runs_from_student_on(project: Path, after: Callable[..., set[str]]) -> None:
    edited = after(("pipeline/distillation/gdd.py", "import torch\n", "import torch\n\nEXTRA = 1\n"))
    assert edited == of_runs(project, "pspnet_r18_gdd", "deeplabv3_r18_gdd", scripts=TRAINS)


def test_a_setting_of_a_method_reruns_its_runs(project: Path, after: Callable[..., set[str]]) -> None:
    edited = after(("params.yaml", "  afdcd: {", "  kd: {temperature: 4.0}\n  afdcd: {"))
    assert edited == of_runs(project, "pspnet_r18_kd", scripts=TRAINS)


def test_a_further_method_reruns_nothing(after: Callable[..., set[str]]) -> None:
    new = ("pipeline/distillation/other.py", "", '"""Another method."""\n')
    line = (
        "pipeline/distillation/__init__.py",
        "= {",
        '= {\n    "other": "pipeline.distillation.other:Other",',
    )
    assert after(new, line) == set()


def test_a_template_of_the_report_reruns_the_report(after: Callable[..., set[str]]) -> None:
    assert after(("pipeline/reporting/templates/page.html.j2", "<", "<!-- new --><")) == {"report"}


def test_the_timing_code_reruns_benchmarks(project: Path, after: Callable[..., set[str]]) -> None:
    edited = after(("pipeline/measure/latency.py", "\nimport", "\nEXTRA = 1\nimport"))
    assert edited == of_runs(project, *load_params(project / "params.yaml").runs, scripts=("benchmark",))


def test_an_architecture_reruns_its_networks_only(project: Path, after: Callable[..., set[str]]) -> None:
    edited = after(("models/deeplabv3.py", "\nimport", "\nEXTRA = 1\nimport"))
    assert of_runs(project, "deeplabv3_r18", "deeplabv3_r18_gdd", scripts=("student", "evaluate", "export")) <= edited
    assert not [name for name in edited if "deeplabv3" not in name]


def test_comments_and_docstrings_rerun_nothing(after: Callable[..., set[str]]) -> None:
    assert (
        after(
            ("pipeline/training/loop.py", '"""', '"""Another word. '),
            ("models/pspnet.py", "\nfrom", "\n# why\nfrom"),
        )
        == set()
    )


def test_a_default_reruns_who_reads_it(project: Path, after: Callable[..., set[str]]) -> None:
    edited = after(("pipeline/params/deployment.py", "threads: Count = 2", "threads: Count = 1"))
    assert edited == of_runs(project, *load_params(project / "params.yaml").runs, scripts=("benchmark",))


def test_the_training_loop_reruns_all_trainings(project: Path, after: Callable[..., set[str]]) -> None:
    edited = after(("pipeline/training/loop.py", "\nimport", "\nEXTRA = 1\nimport"))
    runs = load_params(project / "params.yaml").runs
    assert edited == {"teacher"} | of_runs(project, *runs, scripts=TRAINS)


def test_another_teacher_reruns_distilled_students_and_no_baseline(
    project: Path, after: Callable[..., set[str]]
) -> None:
    edited = after(("artifacts/teacher/file", "teacher", "another"))
    students = {name for name in edited if name.startswith("student-")}
    assert students == {f"student-{name}" for name in ("pspnet_r18_gdd", "pspnet_r18_kd", "deeplabv3_r18_gdd")}


def test_a_further_run_reruns_nothing_of_the_others(after: Callable[..., set[str]]) -> None:
    run = "  pspnet_r18_cwd: {recipe: pspnet_r18, distill: {cwd: 3.0}, seed: 0}\n"
    edited = after(("params.yaml", RUNS["kd"], RUNS["kd"] + run), stages=True)
    assert {name for name in edited if not name.endswith("pspnet_r18_cwd")} == {"inspect", "report"}


def test_dvc_yaml_that_does_not_fit_is_refused(project: Path, after: Callable[..., set[str]]) -> None:
    path = project / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace(RUNS["kd"], ""))
    done = subprocess.run(
        [sys.executable, "-m", "stages.resolve"], cwd=project, capture_output=True, text=True, check=False,
        env={**environment(), "PYTHONPATH": str(project)},
    )  # fmt: skip
    path.write_text(text)
    assert done.returncode == 1
    assert "ParamsError: " in done.stderr
    assert "`python -m pipeline stages`" in done.stderr


def test_the_lock_holds_resolved_parameters(project: Path) -> None:
    lock = YAML(typ="safe", pure=True).load((project / "dvc.lock").read_text())
    tracked = lock["stages"]["student-pspnet_r18"]["params"]["artifacts/resolved.json"]["student-pspnet_r18"]
    set_by_people = YAML(typ="safe", pure=True).load((project / "params.yaml").read_text())
    assert tracked["run"]["iterations"] == set_by_people["recipes"]["pspnet_r18"]["iterations"]
    assert tracked["training"]["momentum"] == 0.9  # a default, though params.yaml does not name it
    assert "baseline" not in tracked["run"]


def test_an_experiment_changes_parameters_and_dvc_shows_them(project: Path) -> None:
    seeds = [f"runs.{name}.seed=1" for name in ("pspnet_r18", "pspnet_r18_gdd", "pspnet_r18_kd")]
    changes = [word for change in (*seeds, "+training.momentum=0.8") for word in ("-S", change)]
    call(project, "dvc", "exp", "run", "--quiet", *changes, "resolve")
    shown = json.loads(call(project, "dvc", "params", "diff", "--json"))
    assert shown["params.yaml"]["runs.pspnet_r18.seed"] == {"old": 0, "new": 1, "diff": 1}
    resolved = shown["artifacts/resolved.json"]
    assert resolved["student-pspnet_r18_kd.run.seed"] == {"old": 0, "new": 1, "diff": 1}
    assert resolved["student-deeplabv3_r18.training.momentum"]["new"] == 0.8
    assert "student-deeplabv3_r18.run.seed" not in resolved
