"""reports/metrics/engine/RUN.json: the TensorRT engines of a run, or why there are none."""

from typing import Literal

from pipeline.records.export import Precision
from pipeline.records.files import record
from pipeline.records.parity import Parity


@record
class Engine:
    """One engine, or the reason why it was not built."""

    precision: Precision
    backend: str  # the Python package that builds and loads it
    version: str  # of the backend
    compute_capabilities: list[str]  # GPU architectures, such as SM86
    file: str  # name in the stage's folder; empty if not built
    bytes: int
    sha256: str
    source_file: str
    source_sha256: str
    status: Literal["built", "not built"]
    executed: bool
    accepted: bool | None  # within its parity budget; None if it was not executed
    reason: str  # why not built, not executed or not accepted
    parity: Parity | None


@record
class Engines:
    run: str
    engines: list[Engine]
