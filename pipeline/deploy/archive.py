"""Pack a bundle into NAME.zip and write its SHA-256 to NAME.zip.sha256. segdistill_runtime opens the archive."""

import argparse
import zipfile
from pathlib import Path

from pipeline.data.files import replacing, sha256, write_text
from segdistill_runtime.verify import add_key_argument, verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="folder of the bundle, such as artifacts/release/RUN")
    parser.add_argument("archive", type=Path, help="NAME.zip to write")
    add_key_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    verify(arguments.bundle, arguments.public_key).require_model()
    print(f"wrote {write_archive(arguments.bundle, arguments.archive)}")


def write_archive(bundle: Path, archive: Path) -> Path:
    """Write the archive and its hash. Equal files give equal bytes: nothing is compressed, no date is kept."""
    with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(bundle).as_posix())  # dated 1980-01-01 by default
            entry.external_attr = (0o100755 if path.suffix == ".sh" else 0o100644) << 16
            packed.writestr(entry, path.read_bytes())
    write_text(archive.with_name(f"{archive.name}.sha256"), f"{sha256(archive)}  {archive.name}\n")
    return archive
