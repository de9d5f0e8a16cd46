"""Copy the code that receivers run: the wheel of segdistill_runtime, and a launcher for each of its commands."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from flit_core.wheel import WheelBuilder

RESOURCES = ["../../segdistill_runtime"]  # its whole content goes into a bundle, imported here or not
PACKAGE = Path(__file__).parents[2] / "segdistill_runtime"
BUNDLE_FILES = PACKAGE / "bundle_files"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file


def copy_code(files: Iterable[str], bundle: Path) -> None:
    """Copy the wheel, verify.py (which needs no package) and the named files into the bundle.

    A name without a file in bundle_files/ is a command: a launcher for it is written.
    """
    version = build_wheel(bundle)
    shutil.copyfile(PACKAGE / "verify.py", bundle / "verify.py")
    for name in dict.fromkeys(files):
        source, target = BUNDLE_FILES / name, bundle / name
        target.parent.mkdir(exist_ok=True)
        if source.is_file():
            shutil.copyfile(source, target)
        else:
            launcher = (BUNDLE_FILES / "launcher.py").read_text(encoding="utf-8")
            target.write_text(launcher.replace("VERSION", version), encoding="utf-8")
        target.chmod(0o755 if target.suffix == ".sh" else 0o644)


def build_wheel(out: Path) -> str:
    """Write the wheel into the folder `out` and return its version. Equal sources give equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        sources, packed = Path(folder) / PACKAGE.name, Path(folder) / "wheel"
        shutil.copytree(PACKAGE, sources, ignore=shutil.ignore_patterns("__pycache__", "bundle_files"))
        shutil.move(sources / "pyproject.toml", folder)
        with packed.open("w+b") as file:
            builder = WheelBuilder.from_ini_path(Path(folder) / "pyproject.toml", file)
            builder.source_time_stamp = FIRST_DATE
            builder.build()
        shutil.copyfile(packed, out / builder.wheel_filename)
    return builder.metadata.version
