"""Which files a file runs, and when their hash changes."""

from pathlib import Path

import pytest

from pipeline.comparison import code
from pipeline.comparison.code import ROOT, closure, digest


def _names(files: frozenset[Path]) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in files}


def test_a_closure_holds_what_is_imported_by_what_is_imported() -> None:
    files = _names(closure(ROOT / "pipeline/distillation/gdd.py"))
    assert {"pipeline/distillation/align.py", "models/segmenter.py", "models/backbone.py"} <= files
    assert "pipeline/distillation/kd.py" in files  # by way of the table of methods, which importing the package runs


def test_beyond_a_file_nothing_is_followed() -> None:
    table = ROOT / "pipeline/distillation/__init__.py"
    files = _names(closure(ROOT / "pipeline/distillation/gdd.py", frozenset({table})))
    assert "pipeline/distillation/align.py" in files
    assert not {"pipeline/distillation/__init__.py", "pipeline/distillation/kd.py"} & files


def test_a_digest_changes_with_a_byte_a_name_and_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "b.py").write_text("b = 1\n")
    before = digest(["a.py", "b.py"])
    assert digest(["b.py", "a.py"]) == before
    (tmp_path / "a.py").write_text("a = 2\n")
    changed = digest(["a.py", "b.py"])
    (tmp_path / "a.py").unlink()
    lost = digest(["a.py", "b.py"])
    assert len({before, changed, lost, digest(["b.py"])}) == 4
