"""Stages and commands end quietly or with one message; every command explains itself."""

import argparse
import errno
import inspect
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from models.errors import ModelError
from pipeline.__main__ import COMMANDS, IN_PROFILE, ROOT, main, overview, parser_of, profile_folder
from pipeline.cli import HELP, LOWER, run_command
from pipeline.errors import ParamsError, SegdistillError
from pipeline.params.tree import load_params
from pipeline.stage_table import SCRIPTS, stage_table
from tests.raising import raises


@pytest.mark.parametrize("error", [SegdistillError("what, where, what to do"), ModelError("what, where, what to do")])
def test_a_project_error_is_one_message(error: Exception) -> None:
    def main() -> None:
        raise error

    with raises(SystemExit) as ended:
        run_command(main)
    message, help_line = str(ended.value).strip().split("\n")
    assert message == f"{type(error).__name__}: {error}"
    assert help_line.endswith(f"{HELP}#{type(error).__name__.lower()}")


def test_a_package_of_an_extra_names_the_extra() -> None:
    def main(package: str) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    with raises(SystemExit, "EXTRAS=inspect"):
        run_command(lambda: main("fiftyone.brain"))
    with raises(ModuleNotFoundError):
        run_command(lambda: main("pipeline.lost"))


@pytest.mark.parametrize(
    ("error", "values"),
    [
        (KeyboardInterrupt(), ("Ctrl-C",)),
        (MemoryError(), ("params.yaml", "training.batch_size")),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device"),
            ("GPU", "CUDA_VISIBLE_DEVICES"),
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            ("GPU", "params.yaml", "training.batch_size"),
        ),
        (OSError(errno.ENOSPC, "", "x.bin"), ("ENOSPC", "x.bin")),
        (OSError(errno.EDQUOT, "", "x.bin"), ("EDQUOT", "x.bin")),
        (OSError(errno.EROFS, "", "x.bin"), ("EROFS", "x.bin")),
        (OSError(errno.EACCES, "", "x.bin"), ("EACCES", "x.bin")),
    ],
)
def test_what_the_machine_did_is_said(error: BaseException, values: tuple[str, ...]) -> None:
    def main() -> None:
        raise error

    with raises(SystemExit, *values) as ended:
        run_command(main)
    assert ("GPU" in str(ended.value)) == ("CUDA" in str(error))


def test_each_stage_that_may_need_much_memory_says_what_to_lower() -> None:
    with raises(SystemExit, "params.yaml", "evaluation.batch_size") as ended:
        run_command(lambda: print(torch.empty(2**50)), "evaluate")
    assert "training.batch_size" not in str(ended.value)
    params = load_params(ROOT / "params.yaml")
    words = [word for said in LOWER.values() for word in re.findall(r"[a-z]+\.[a-z_]+", said)]
    for section, key in (word.split(".") for word in words):
        assert hasattr(getattr(params, section), key), key
    assert set(LOWER) <= {"", *SCRIPTS}


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(main)


@pytest.mark.parametrize("stage", ["prepare", "curate", "teacher", "inspect", "report"])
def test_a_stage_ends_with_one_message(stage: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip().startswith("ParamsError: ")
    assert str(tmp_path / "params.yaml") in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_the_arguments_of_its_entry_function_in_the_table(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(ROOT / "profiles/camvid-pretrained/params.yaml")
    stages = [stage for stage in stage_table(params) if stage.script == script]
    bound = []

    def run_stage(name: str, entry: Callable[..., None], _: str, **groups: type) -> None:
        assert name == script
        bound.extend(inspect.signature(entry).bind(**stage.arguments(groups)) for stage in stages)

    monkeypatch.setattr("pipeline.stage_table.run_stage", run_stage)
    runpy.run_module(f"stages.{script}", run_name="__main__")
    assert len(bound) == len(stages) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death is Linux's")
@pytest.mark.parametrize("ends", [True, False])
def test_a_child_ends_with_its_parent_if_it_says_so(ends: bool) -> None:
    """Killed, not asked: a comparison that ran out of memory must not leave its training behind."""
    child = f"import time; from pipeline.cli import end_with_parent; {ends} and end_with_parent(); print(0, flush=True)"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', '''{child}; time.sleep(60)'''], \
stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    try:
        assert _gone_within(pid, 5.0 if ends else 0.5) is ends
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _gone_within(pid: int, seconds: float) -> bool:
    """A dead process whose new parent has not asked for it yet counts as gone."""
    for _ in range(int(seconds / 0.05)):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_help_lists_every_command_at_once_and_imports_none_of_them() -> None:
    program = "import sys, runpy; sys.argv[1:] = ['--help']\ntry: runpy.run_module('pipeline', run_name='__main__')\n"
    program += "finally: print(sorted({'torch', 'numpy', 'dvc', 'onnx'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.split("  ")[1:] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [words[0] for words in lines] == list(COMMANDS)
    assert all(words[-1].strip() for words in lines)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    parser, module = parser_of(name)
    summary = (module.__doc__ or "").splitlines()[0]
    assert summary in overview([])
    assert summary.endswith((".", ":"))
    assert callable(module.run)
    for action in parser._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), f"{action.dest} has no help"
    assert ("--profile" in parser.format_help()) == (name in IN_PROFILE)


def test_defaults_are_shown() -> None:
    assert "--iterations ITERATIONS" in (text := parser_of("bench data")[0].format_help())
    assert "(default: 30)" in text


def test_a_profile_is_found_by_name_and_by_folder(tmp_path: Path) -> None:
    assert profile_folder("camvid-cpu") == ROOT / "profiles/camvid-cpu"
    (tmp_path / "params.yaml").touch()
    assert profile_folder(str(tmp_path)) == tmp_path
    with raises(ParamsError, "'camvid_cpu'", "camvid-cpu"):
        profile_folder("camvid_cpu")


def test_a_command_runs_in_its_profile_and_paths_are_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PATH", "PYTHONPATH"):  # main sets them for the processes of a command
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/params.yaml").touch()
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    main(["link-data", "images", "--profile", str(tmp_path / "profile")])
    assert (tmp_path / "profile/data/raw").resolve() == tmp_path / "images"


def test_an_unknown_command_ends_with_status_1_and_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with raises(SystemExit, "'docter'"):
        main(["docter"])
    assert "doctor" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--help"])
    assert ended.value.code == 0
