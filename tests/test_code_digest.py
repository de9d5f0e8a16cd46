"""What belongs to the code of a stage, and which edits change its digest."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.code_digest import ALWAYS_OUT, ROOT, closure, digest, direct_imports, without_comments
from pipeline.preparation import ADAPTERS
from segdistill_runtime.targets import TARGETS

SOURCE = '''"""What it does."""

RATE = 0.5  # of all


def scaled(x: float) -> float:
    """Scale it.

    Args:
        x: in pixels.
    """
    # the authors do
    text = f"{x!r} # kept"
    """a string that nobody reads"""
    return RATE * x + len(text)
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("What it does.", "Something else."),
        ("  # of all", ""),
        ("    # the authors do\n", "\n\n    # why\n"),
        ("Scale it.", "Multiply.\n\n    Twice."),
        ('    """a string that nobody reads"""\n', ""),
        ("RATE = 0.5  ", "RATE = 0.5     "),
    ],
)
def test_comments_docstrings_and_blank_lines_do_not_count(old: str, new: str) -> None:
    assert old in SOURCE
    assert without_comments(SOURCE.replace(old, new)) == without_comments(SOURCE)


@pytest.mark.parametrize(("old", "new"), [("0.5", "0.6"), ("# kept", "# changed"), ("RATE *", "RATE +")])
def test_code_and_strings_count(old: str, new: str) -> None:
    assert without_comments(SOURCE.replace(old, new)) != without_comments(SOURCE)


def test_nothing_but_comments_is_removed_from_our_own_files() -> None:
    for file in (ROOT / "pipeline").rglob("*.py"):
        lines = file.read_text().splitlines()
        kept = without_comments(file.read_text()).splitlines()
        remaining = iter(lines)
        assert all(any(line.startswith(part) or part in line for line in remaining) for part in kept), file


def test_closure_follows_imports_and_leaves_out_what_is_idle() -> None:
    files = closure(["stages.prepare"])
    assert ROOT / "stages/prepare.py" in files
    assert ROOT / "pipeline/data/files.py" in files
    assert not [file for file in files if file.name == "__init__.py"]
    without = closure(["stages.prepare"], idle={"pipeline.data.files"})
    assert ROOT / "pipeline/data/files.py" not in without
    assert without < files


def test_a_registry_entry_is_a_module() -> None:
    assert closure(["pipeline.errors:ParamsError", "pipeline.data.images:anything"]) == closure(
        ["pipeline.data.images"]
    )


def test_names_count_as_well_as_contents() -> None:
    some = sorted(closure(["stages.prepare"]))
    assert digest(some) == digest(reversed(some))
    assert digest(some[:-1]) != digest(some)


@pytest.mark.parametrize("stage", ["prepare", "curate", "report"])
def test_all_that_a_stage_really_imports_is_in_its_closure(stage: str) -> None:
    code = (
        f"import sys; import stages.{stage}; "
        "print(*{m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)}, sep='\\n')"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ours = {Path(line) for line in loaded.splitlines() if ROOT in Path(line).parents and ".venv" not in line}
    messages = [module for file in map(_file, ALWAYS_OUT) for module in map(_dotted, direct_imports(file))]
    known = (
        closure([f"stages.{stage}", *ADAPTERS.values(), *TARGETS.values()])
        | closure(messages)
        | {_file(module) for module in ALWAYS_OUT}
    )
    assert {file for file in ours if file.name != "__init__.py"} <= known | {ROOT / "pipeline/code_digest.py"}


def _file(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def _dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def test_imports_inside_functions_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("def f():\n    from pipeline.data import images\n    import pipeline.cli\n")
    assert direct_imports(file) == {ROOT / "pipeline/data/images.py", ROOT / "pipeline/cli.py"}
