"""The project as a newcomer has it: what git would give, in a repository of its own, and images that are not ours."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from ruamel.yaml import YAML

from pipeline.code_digest import ROOT
from tests.small_profile import RUN, SMALL, merge
from tests.toy import TOY_CLASSES, toy_pair

HEIGHT, WIDTH = 96, 128  # of the exported graph
SIZES = ((HEIGHT, WIDTH), (WIDTH, HEIGHT), (150, 260), (70, 90))  # of the images, in turn
IMAGES = {"train": 14, "val": 3, "test": 3}
QUICK = {
    "teacher": SMALL["teacher"],
    "training": {**SMALL["training"], "crop_height": HEIGHT, "crop_width": WIDTH},
    "recipes": {"pspnet_r18": RUN},
    "export": {"height": HEIGHT, "width": WIDTH, "logit_images": 2},
    "quantization": {**SMALL["quantization"], "max_float_layers": 0, "fine_tuning": {"iterations": 0}},
    "engine": {"precisions": []},
    "benchmark": {**SMALL["benchmark"], "runtimes": ["onnxruntime"], "rounds": 1},
    "release": {"runtimes": ["onnxruntime"]},
}
"""What a newcomer sets for these images, and what makes each stage short."""


def write_project(folder: Path) -> None:
    """Copy what git tracks or would, commit it, and link the environment of this Python to .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.endswith("dvc.lock"):  # which a pipeline wrote that ran here
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != ".synced":
            (folder / ".venv" / entry.name).symlink_to(entry)
    os.utime(folder / "requirements.lock", (0, 0))
    (folder / ".venv/.synced").touch()  # so `make` installs nothing
    Image.fromarray(toy_pair(0, HEIGHT, WIDTH)[0]).save(folder / "street.jpg")
    sh("git init --quiet --initial-branch main && git add --all && git commit --quiet --message 'A fork'", folder)


def write_own_images(
    folder: Path, counts: Mapping[str, int] = IMAGES, sizes: Sequence[tuple[int, int]] = SIZES, colors: bool = True
) -> None:
    """Draw a dataset in the layout of README.md; masks hold colors, black where nobody labelled, or ids."""
    numbers = iter(range(sum(counts.values())))
    for split, count in counts.items():
        for index in range(count):
            number = next(numbers)
            image, labels = toy_pair(number, *sizes[number % len(sizes)])
            for kind, pixels in (("images", image), ("masks", TOY_CLASSES.palette()[labels] if colors else labels)):
                path = folder / kind / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    entries = [f"  - {{name: {c.name}, color: {list(c.color)}, ids: {list(c.raw_ids)}}}" for c in TOY_CLASSES.classes]
    void = ["void: []", "void_colors: [[0, 0, 0]]"] if colors else ["void: [255]"]
    (folder / "classes.yaml").write_text("\n".join(["classes:", *entries, *void, ""]))


def write_own_dataset(source: Path, sizes: Sequence[tuple[int, int]] = ((64, 96),)) -> None:
    """A small one, in which one file is no picture."""
    write_own_images(source, {"train": 10, "val": 2, "test": 3}, sizes, colors=False)
    (source / "images/train/4.png").write_bytes(b"no picture")


def set_quick_numbers(profile: Path) -> None:
    """Edit a profile's params.yaml as its user does: the size of the images; and train for a few iterations."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # runs keep their order
    params = yaml.load((profile / "params.yaml").read_text())
    merge(params, QUICK)
    with (profile / "params.yaml").open("w") as file:
        yaml.dump(params, file)


def sh(script: str, folder: Path) -> str:
    """Run lines of a shell in a project, whose parent is the home folder; return what they print, or fail with it."""
    project = next(parent for parent in (folder, *folder.parents) if (parent / "Makefile").is_file())
    who = {f"GIT_{role}_{key}": "x@x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    variables = {
        **os.environ,
        **who,
        "HOME": str(project.parent),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),  # as `make setup` sets it
        "DVC_NO_ANALYTICS": "true",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr
