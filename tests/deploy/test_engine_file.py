"""An engine is checked against its description before any TensorRT sees it; every way to be wrong has its message."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data.files import sha256
from pipeline.deploy.engine import build_engines
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.engine_file import (
    Description,
    description_path,
    read_engine,
    require_architecture,
    require_version,
    write_engine,
)
from segdistill_runtime.errors import FileRefused, NotAvailable
from segdistill_runtime.targets.target import read_file
from tests.deploy.tiny_graphs import write_tiny_graphs
from tests.made_records import made_artifact
from tests.raising import raises

PLAN = b"vtrt and what a builder wrote"


def _description(plan: bytes = PLAN, **changes: object) -> Description:
    described = Description(
        precision="fp16", backend="tensorrt_rtx", version="1.7.1.116", compute_capabilities=["SM86", "SM120"],
        source_file="model_fp16.onnx", source_sha256="0" * 64, engine_sha256=hashlib.sha256(plan).hexdigest(),
        bytes=len(plan), builder={}, inputs=[], outputs=[], held_types={}, timing_cache={}, built_on={},
    )  # fmt: skip
    return described._replace(**changes)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Bytes that only look like an engine: the checks come before anyone would notice."""
    path = tmp_path / "a.engine"
    path.write_bytes(PLAN)
    describe(path, _description())
    return path


def describe(engine: Path, description: Description) -> None:
    """Write the description beside an engine that may be another's."""
    written = write_engine(engine.parent / "elsewhere", PLAN, description)
    description_path(written).rename(description_path(engine))


def test_what_was_written_is_read(engine: Path) -> None:
    assert read_engine(str(engine), read_file) == (PLAN, _description())


def test_a_truncated_engine_is_refused(engine: Path) -> None:
    engine.write_bytes(PLAN[:-5])
    with raises(FileRefused, engine, "24 bytes", "29"):
        open_artifact(engine, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bit=st.integers(0, 8 * len(PLAN) - 1))
def test_any_flipped_bit_is_refused(engine: Path, bit: int) -> None:
    flipped = bytearray(PLAN)
    flipped[bit // 8] ^= 1 << bit % 8
    engine.write_bytes(flipped)
    with raises(FileRefused, engine, "SHA-256"):
        open_artifact(engine, 1)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"", ()),
        (b"{", ()),
        (b"\xff\xfe", ()),
        (b"[" * 100_000, ()),
        (b" " * (1 << 21), ("None", "'segdistill-engine-1'")),
        (b"[]", ("None", "'segdistill-engine-1'")),
        (b'{"format": "segdistill-engine-9"}', ("'segdistill-engine-9'", "'segdistill-engine-1'")),
        (b'{"format": "segdistill-engine-1", "precision": 3}', ("backend", "bytes", "timing_cache")),
    ],
)
def test_a_description_that_says_nothing_is_refused(engine: Path, content: bytes, values: tuple[str, ...]) -> None:
    description_path(engine).write_bytes(content)
    with raises(FileRefused, description_path(engine), *values, "rebuild_on_target.sh"):
        read_engine(str(engine), read_file)


def test_an_engine_without_a_description_is_refused(engine: Path) -> None:
    description_path(engine).unlink()
    with raises(FileRefused, description_path(engine), "dvc repro") as caught:
        open_artifact(engine, 1)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_description_of_another_package_is_refused(engine: Path) -> None:
    describe(engine, _description(backend="os"))
    with raises(FileRefused, engine, "'os'"):
        read_engine(str(engine), read_file)


def test_a_field_too_many_is_refused(engine: Path) -> None:
    content = json.loads(description_path(engine).read_text())
    description_path(engine).write_text(json.dumps({**content, "trusted": True}))
    with raises(FileRefused, description_path(engine), "trusted"):
        read_engine(str(engine), read_file)


def test_a_field_of_another_type_is_refused(engine: Path) -> None:
    content = json.loads(description_path(engine).read_text())
    description_path(engine).write_text(json.dumps({**content, "bytes": "29"}))
    with raises(FileRefused, description_path(engine), "'29'", "int"):
        read_engine(str(engine), read_file)


def test_another_version_is_refused_with_the_command() -> None:
    description = _description(backend="tensorrt", version="10.3.0")
    require_version("a.engine", description, "10.3.0")
    require_version("a.engine", description, "10.3.0.26")
    for installed in ("10.3.1", "10.13.0", "11.3.0", "10"):
        with raises(NotAvailable, "a.engine", "tensorrt 10.3.0", installed, "rebuild_on_target.sh"):
            require_version("a.engine", description, installed)


@pytest.mark.parametrize("capability", ["SM87", "SM90", "SM8", "SM12", "SM121", ""])
def test_another_architecture_is_refused_with_the_command(capability: str) -> None:
    with raises(NotAvailable, "a.engine", "SM86", "SM120", capability, "rebuild_on_target.sh"):
        require_architecture("a.engine", _description(), capability)


def test_the_right_architecture_is_accepted() -> None:
    require_architecture("a.engine", _description(), "SM86")
    require_architecture("a.engine", _description(), "SM120")


def test_the_runner_compares_versions_before_it_looks_for_a_gpu(engine: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    describe(engine, _description(version="1.0.0.1"))
    with raises(NotAvailable, engine, "tensorrt_rtx 1.0.0.1"):
        open_artifact(engine, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_sound_engine_needs_a_gpu(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    graph = write_tiny_graphs(tmp_path)["fp16"]
    source = made_artifact(graph.name, "fp16", ["tensorrt"], sha256=sha256(graph))
    built = build_engines(source, graph.parent, ["SM86"], tmp_path, tmp_path)[0]
    with raises(NotAvailable, tmp_path / built.file, "GPU", "CUDA"):
        open_artifact(tmp_path / built.file, 1)


@pytest.mark.parametrize("rubbish", [b"", b"rub", b"rubbish"])
def test_rubbish_is_no_engine(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "x.engine").write_bytes(rubbish)
    with raises(FileRefused, tmp_path / "x.engine.json") as caught:
        open_artifact(tmp_path / "x.engine", 1)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
