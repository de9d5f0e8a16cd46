"""The record of a graph that was compared with its source: what the file is, how far it agrees, whether it may ship.

A file that several runtimes are to run has a record for each that was asked for its own labels: they are not the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pipeline.data.files import sha256
from pipeline.deploy.probing import Divergence
from pipeline.measure.parity import Parity, complaints
from pipeline.params.deployment import BudgetParams, Precision
from pipeline.runtime import Runner, RunnerUnavailable, available_threads, open_runner


@dataclass(frozen=True, kw_only=True)
class JudgedGraph:
    file: str  # name inside the stage's folder
    precision: Precision
    runtimes: list[str]  # that it is made for
    bytes: int
    sha256: str
    status: Literal["accepted", "rejected"]
    reason: str  # why rejected
    parity: Parity

    def record(self) -> dict[str, object]:
        return asdict(self)


def judge(
    path: Path,
    precision: Precision,
    runtimes: list[str],
    parity: Parity,
    budget: BudgetParams,
    diverges: Callable[[], Divergence] | None,
    objections: Sequence[str] = (),
) -> JudgedGraph:
    """Accept a graph that is within its budget; of another one the reason names the layer where it diverges.

    Args:
        diverges: finds that layer; called for a graph that is over its budget. None where nobody can look inside.
        objections: further reasons to reject it.
    """
    over = complaints(parity, budget)
    found = [f"first diverges at {diverges()}"] if over and diverges is not None else []
    reasons = [*objections, *over, *found]
    return JudgedGraph(
        file=path.name,
        precision=precision,
        runtimes=runtimes,
        bytes=path.stat().st_size,
        sha256=sha256(path),
        status="rejected" if reasons else "accepted",
        reason="; ".join(reasons),
        parity=parity,
    )


def judge_on_openvino(
    path: Path, precision: Precision, measured: Callable[[Runner], Parity], budget: BudgetParams
) -> list[JudgedGraph]:
    """The same file by the labels that OpenVINO gives, which says nothing about its layers; none without OpenVINO.

    A file that is over its budget there is rejected for OpenVINO and for no other runtime.
    """
    try:
        with open_runner(path, available_threads(), "openvino") as runner:
            parity = measured(runner)
    except RunnerUnavailable as error:
        print(f"{path.name} is not offered for OpenVINO: {error}", flush=True)
        return []
    return [judge(path, precision, ["openvino"], parity, budget, diverges=None)]
