"""A disk that fills up, and one that may not be written: one message, nothing half-written, and then it goes on."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from tests.faults.contents import contents
from tests.small_profile import environment

ROOM = 2 * 2**30  # bytes; of memory only what is written
STAGES = (
    "prepare", "curate", "teacher", "student-pspnet_r18", "evaluate-pspnet_r18", "inspect", "export-pspnet_r18",
    "quantize-pspnet_r18", "engine-pspnet_r18", "release-pspnet_r18", "report",
)  # fmt: skip
"""All but resolve, which runs anew each time; benchmark, which writes one small file at its end;
and pretrain, which the profile lacks."""
IN_SHORT = ("teacher", "release-pspnet_r18")


class Disk(NamedTuple):
    folder: Path

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)

    def may_be_written(self, yes: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'rw' if yes else 'ro'}", str(self.folder)], check=True)

    @property
    def used(self) -> int:
        status = os.statvfs(self.folder)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A file system of its own."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def profile(disk: Disk, whole: Path) -> Iterator[Path]:
    """A finished profile on that file system."""
    folder = disk.folder / "whole"
    shutil.copytree(whole, folder, symlinks=True, ignore=shutil.ignore_patterns(".dvc"))
    parameters = folder / "params.yaml"
    parameters.write_text(_moved(parameters.read_text(), whole, folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "stage",
    [pytest.param(s, marks=[pytest.mark.faults, *([pytest.mark.slow] if s in IN_SHORT else [])]) for s in STAGES],
)
def test_a_full_disk_loses_nothing(disk: Disk, profile: Path, whole: Path, stage: str) -> None:
    written = _remove_outputs(profile, stage)
    disk.resize(disk.used + max(written // 2, 4096))
    try:
        failed = _run(profile, stage)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert "Traceback" not in failed.stderr, failed.stderr[-1500:]
        full = ("ENOSPC", "DiskFull", os.strerror(errno.ENOSPC))
        assert any(value in failed.stderr for value in full), failed.stderr[-1500:]
        _no_half_written_file(profile, whole)
    finally:
        disk.resize(ROOM)
    _ends_as_if_nothing_had_been(profile, whole, stage)


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_a_read_only_disk_is_said(disk: Disk, profile: Path, whole: Path, stage: str) -> None:
    _remove_outputs(profile, stage)
    disk.may_be_written(False)
    try:
        failed = _run(profile, stage)
    finally:
        disk.may_be_written(True)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr, failed.stderr[-1500:]
    assert "EROFS" in failed.stderr, failed.stderr[-1500:]
    _ends_as_if_nothing_had_been(profile, whole, stage)


def _moved(parameters: str, before: Path, after: Path) -> str:
    """The same parameters for another folder: the path to the drawn dataset's source is relative."""
    source = YAML(typ="safe", pure=True).load(parameters)["dataset"]["source"]
    return parameters.replace(f"{source}\n", f"{os.path.relpath((before / source).resolve(), after)}\n")


def _entry(profile: Path, stage: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load((profile / "dvc.lock").read_text())["stages"][stage]


def _run(profile: Path, stage: str) -> subprocess.CompletedProcess[str]:
    module = _entry(profile, stage)["cmd"].partition("python ")[2].split()
    return subprocess.run(["python", *module], cwd=profile, env=environment(), capture_output=True, text=True)


def _remove_outputs(profile: Path, stage: str) -> int:
    """As dvc does before it runs a stage; returns how many bytes that were."""
    size = 0
    for out in _entry(profile, stage)["outs"]:
        path = profile / out["path"]
        size += sum(f.stat().st_size for f in (path, *path.rglob("*")) if f.is_file())
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return size


def _no_half_written_file(profile: Path, whole: Path) -> None:
    expected = contents(whole)
    for name, found in contents(profile).items():
        if name.startswith("scratch/") and name.endswith("/identity.json"):  # says what the unfinished training is
            assert json.loads((profile / name).read_bytes())
            continue
        assert name in expected, f"{name} was left behind"
        assert found == expected[name], f"{name} is not what it should be"


def _ends_as_if_nothing_had_been(profile: Path, whole: Path, stage: str) -> None:
    done = _run(profile, stage)
    assert done.returncode == 0, done.stdout + done.stderr
    expected, found = contents(whole), contents(profile)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
