"""A dataset that changes under a running pipeline: the file is named, and nothing is learned from it.

Real stages on a small profile; files are replaced, rewritten in place with their times put back, and cut off.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from pipeline.data.samples import Sample, read_samples
from tests.faults.waiting import PATIENCE_S, wait_until
from tests.small_profile import environment, run, write_small_profile
from tests.toy import toy_pair

SPARSE = 3 * 2**30  # bytes without any on the disk: reading them takes a second or more
LONG = 100_000  # iterations, more than anybody waits for


def replaced(path: Path) -> None:
    """Another picture of the same name, moved over it."""
    with Image.open(path) as file:
        turned = file.transpose(Image.Transpose.ROTATE_180)
        turned.save(path.with_suffix(".new"), format="PNG")
    path.with_suffix(".new").replace(path)


def rewritten(path: Path) -> None:
    """A picture of the same number of bytes in the same inode, with the times that it had."""
    before, content = path.stat(), path.read_bytes()
    replaced(path)
    path.write_bytes(path.read_bytes()[: len(content)].ljust(len(content), b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


CHANGES: tuple[Callable[[Path], None], ...] = (replaced, rewritten, cut_off)
IN_SHORT = (rewritten, "mask")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile after its first two stages."""
    folder = tmp_path_factory.mktemp("changing") / "prepared"
    write_small_profile(folder, ["pspnet_r18"])
    for name in ("prepare", "curate"):
        _succeeds(stage(folder, name))
    return folder


@pytest.fixture
def profile(prepared: Path) -> Iterator[Path]:
    """A copy beside it, so that all relative paths hold."""
    folder = prepared.with_name("copy")
    shutil.copytree(prepared, folder)
    yield folder
    shutil.rmtree(folder)


def stage(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", f"stages.{name}"], folder)


@pytest.mark.parametrize(
    ("change", "of"),
    [
        pytest.param(*case, marks=[pytest.mark.faults, *([pytest.mark.slow] if case == IN_SHORT else [])])
        for case in product(CHANGES, ("image", "mask"))
    ],
)
def test_a_file_that_changed_after_it_was_prepared_is_not_learned_from(
    profile: Path, change: Callable[[Path], None], of: str
) -> None:
    sample = _samples(profile)[3]
    file = profile / (sample.image if of == "image" else Path(str(sample.mask)))
    listed = file.read_bytes()
    change(file)
    _is_named(stage(profile, "teacher"), file)
    assert not list((profile / "artifacts").glob("**/*.safetensors"))
    file.write_bytes(listed)
    _succeeds(stage(profile, "teacher"))


@pytest.mark.faults
def test_what_was_decoded_before_is_what_was_listed(profile: Path) -> None:
    """The files may be gone to somebody else's pictures: decoded pairs are of the bytes that the list names."""
    _succeeds(stage(profile, "teacher"))
    checkpoint = profile / "artifacts/teacher/checkpoint.safetensors"
    learned = checkpoint.read_bytes()
    for sample in _samples(profile):
        rewritten(profile / sample.image)
    _succeeds(stage(profile, "teacher"))
    assert checkpoint.read_bytes() == learned


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_changes_during_a_training_ends_it(profile: Path, workers: int) -> None:
    training = {"decoded_gib": 0.0, "workers": workers}
    write_small_profile(profile, ["pspnet_r18"], teacher={"iterations": LONG}, training=training)
    process = _begun(profile, "teacher")
    wait_until(lambda: any(profile.glob("scratch/teacher/*/state.safetensors")), process)
    file = profile / _samples(profile)[5].image
    rewritten(file)
    _, said = process.communicate(timeout=PATIENCE_S)
    _is_named(subprocess.CompletedProcess(process.args, process.returncode, "", said), file)
    assert not list((profile / "artifacts").glob("**/*.safetensors"))


@pytest.mark.faults
def test_what_is_judged_was_listed_too(profile: Path) -> None:
    _succeeds(stage(profile, "teacher"))
    sample = next(sample for sample in _samples(profile) if sample.split == "test")
    file = profile / str(sample.mask)
    rewritten(file)
    _is_named(run([sys.executable, "-m", "stages.evaluate", "teacher"], profile), file)
    assert not (profile / "reports/metrics/evaluate/teacher.json").exists()


@pytest.mark.faults
def test_a_file_that_changes_while_the_dataset_is_prepared_is_named(tmp_path: Path) -> None:
    """It was hashed before, and would stand in the list as what it no longer is."""
    source = tmp_path / "camvid"
    for index, split in enumerate(("train", "train", "val", "test")):
        image, labels = toy_pair(index)
        for folder, pixels in ((split, image), (f"{split}annot", labels)):
            (source / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(source / folder / f"seq{index}_{index}.png")
    slow = source / "val/seq2_2.png"
    os.truncate(slow, SPARSE)
    write_small_profile(tmp_path / "profile", ["pspnet_r18"], dataset={"adapter": "camvid", "source": str(source)})
    process = _begun(tmp_path / "profile", "prepare")
    wait_until(lambda: slow in _open_files(process.pid), process)
    changed = source / "train/seq0_0.png"
    rewritten(changed)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert "DatasetError: 1 " in said
    assert str(changed) in said
    assert not (tmp_path / "profile/data/prepared/samples.csv").exists()
    _succeeds(stage(tmp_path / "profile", "prepare"))


def _samples(folder: Path) -> list[Sample]:
    return read_samples(folder / "data/curated/samples.csv")


def _succeeds(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def _is_named(failed: subprocess.CompletedProcess[str], file: Path) -> None:
    assert failed.returncode == 1, failed.stderr
    assert "Traceback" not in failed.stderr, failed.stderr
    (told,) = [line for line in failed.stderr.splitlines() if line.startswith("ImageError: ")]
    assert file.name in told
    assert "SHA-256" in told
    assert "dvc repro" in told


def _begun(folder: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"stages.{name}"]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _open_files(pid: int) -> set[Path]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(link.readlink())
        except OSError:
            continue  # closed while we looked
    return found
