"""Which files git leaves out, as DVC asks it."""

import shutil
from pathlib import Path

import pytest
from scmrepo.git import Git

from pipeline.code_digest import ROOT


@pytest.mark.parametrize("profile", ["", "profiles/mine/"])
def test_dvc_finds_what_it_tracks_in_the_data_of_a_profile(tmp_path: Path, profile: str) -> None:
    Git.init(str(tmp_path)).close()
    shutil.copy(ROOT / ".gitignore", tmp_path)
    data = tmp_path / f"{profile}data"
    for name in ("raw", "prepared", "curated"):
        (data / name).mkdir(parents=True)
    (data / "raw.dvc").touch()
    git = Git(str(tmp_path))
    assert {path.name for path in data.iterdir() if git.is_ignored(str(path))} == {"raw", "prepared", "curated"}
    assert not git.is_ignored(f"{data}/")  # DVC looks for *.dvc in no folder that git ignores; /data/* would be enough
    git.close()
