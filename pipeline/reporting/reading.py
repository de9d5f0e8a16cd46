"""Reading what another stage wrote, or saying which stage has to write it again."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import SegdistillError

Record = TypeVar("Record")


class ReportError(SegdistillError):
    """A file that the report is made from is missing or is not what its stage writes."""


def read_record(kind: type[Record], path: Path, stage: str) -> Record:
    """Read one JSON file.

    Raises:
        ReportError: no such file, not JSON, or a value missing or of another type; names the file and the stage.
    """
    try:
        return TypeAdapter(kind).validate_json(read_bytes(path, stage))
    except ValidationError as error:
        raise corrupt(path, stage, _complaints(error)) from error


def read_yaml_record(kind: type[Record], path: Path, stage: str) -> Record:
    """Read one YAML file.

    Raises:
        ReportError: as for JSON.
    """
    try:
        content = YAML(typ="safe", pure=True).load(read_bytes(path, stage).decode("utf-8"))
        # By way of JSON: strict records take no dict of Python's.
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise corrupt(path, stage, _complaints(error)) from error
    except (YAMLError, UnicodeDecodeError, TypeError) as error:
        raise corrupt(path, stage, f"no YAML: {str(error).splitlines()[0]}") from error


def _complaints(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'whole file'}: {e['msg']}" for e in error.errors()[:5])


def read_bytes(path: Path, stage: str) -> bytes:
    """Read a file whole.

    Raises:
        ReportError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReportError(
            f"{path} cannot be read ({error.strerror}); stage {stage} writes it: "
            f"run `dvc repro` in the profile's folder"
        ) from error


def corrupt(path: Path, stage: str, complaint: str) -> ReportError:
    """The error for a file that is there and is not what it should be."""
    return ReportError(
        f"{path} is not what stage {stage} writes ({complaint}); delete it and run `dvc repro` in the profile's folder"
    )
