"""Write a record as JSON or YAML; read and check it."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.data.files import write_json, write_text
from pipeline.errors import ArtifactError

T = TypeVar("T")
LINE = 1000  # characters, so that a reason stays in one line of YAML


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Declare a record: frozen, keyword-only, values of the declared types; unknown keys of a file are ignored."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore", strict=True))(cls)  # type: ignore[reportReturnType]


def write_record(path: Path, content: Any) -> None:
    """Write a record in the order of its fields, as YAML if `path` ends in .yaml, else as indented JSON."""
    (write_yaml if path.suffix == ".yaml" else write_json)(path, asdict(content))


def read_record(kind: type[T], path: Path, stage: str) -> T:
    """Read a record from JSON or YAML that `stage` wrote.

    Raises:
        ArtifactError: the file is missing, damaged, or not such a record. The message names the first wrong values.
    """
    content = read_bytes(path, stage)
    try:
        if path.suffix == ".yaml":  # through JSON, because strict records refuse a plain dict
            content = json.dumps(YAML(typ="safe", pure=True).load(content.decode("utf-8")), default=str)
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc'])) or 'whole file'}: {e['msg']}" for e in error.errors()[:5]]
        raise damaged(path, stage, "; ".join(wrong)) from error
    except (YAMLError, UnicodeDecodeError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, stage, f"not YAML: {str(error).splitlines()[0]}") from error


def read_bytes(path: Path, stage: str) -> bytes:
    """Read a file that a stage writes; raise ArtifactError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read ({error.strerror}); stage {stage} writes it: run `dvc repro` in the profile"
        ) from error


def damaged(path: Path, stage: str, complaint: str) -> ArtifactError:
    """Return the error for a file that exists but has other content than its stage writes."""
    return ArtifactError(
        f"{path} is not a valid file of stage {stage} ({complaint}). Delete it and run `dvc repro` in the profile"
    )


def write_yaml(path: Path, content: object) -> None:
    """Write plain values as YAML atomically."""
    write_text(path, yaml_text(content))


def yaml_text(content: object) -> str:
    """Return plain values as YAML, in their own order, so that two files differ only where their values do."""
    yaml = YAML(typ="rt", pure=True)
    yaml.width = LINE
    yaml.representer.ignore_aliases = lambda _: True  # type: ignore[reportAttributeAccessIssue]
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()
