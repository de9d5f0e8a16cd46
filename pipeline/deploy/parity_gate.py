"""Accept or reject an exported graph by its parity with the checkpoint.

Each runtime computes its own labels, so a file that OpenVINO is to run has a second record for OpenVINO alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.data.files import sha256
from pipeline.deploy.layer_outputs import Divergence
from pipeline.measure.parity import complaints
from pipeline.params.deployment import BudgetParams
from pipeline.records.export import Artifact, Precision
from pipeline.records.parity import Parity
from pipeline.runtime.artifacts import available_threads, open_artifact
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets.target import runtimes_judged_by_onnxruntime, runtimes_judged_by_themselves


def judge(
    path: Path,
    precision: Precision,
    parity: Parity,
    budget: BudgetParams,
    diverges: Callable[[], Divergence] | None,
    objections: Sequence[str] = (),
    runtimes: list[str] | None = None,
) -> Artifact:
    """Accept a graph that is within its budget; of another one the reason names the layer where it diverges.

    Args:
        diverges: finds that layer; called only if the graph is over its budget. None if its layers cannot be read.
        objections: further reasons to reject it.
        runtimes: None stands for those that ONNX Runtime's labels count for.
    """
    over = complaints(parity, budget)
    found = [f"first diverges at {diverges()}"] if over and diverges is not None else []
    reasons = [*objections, *over, *found]
    return Artifact(
        file=path.name,
        precision=precision,
        runtimes=runtimes or runtimes_judged_by_onnxruntime(path.name),
        bytes=path.stat().st_size,
        sha256=sha256(path),
        status="rejected" if reasons else "accepted",
        reason="; ".join(reasons),
        parity=parity,
    )


def judge_on_other_runtimes(
    path: Path, precision: Precision, measured: Callable[[Runner], Parity], budget: BudgetParams
) -> list[Artifact]:
    """Judge the same file by the labels of each further runtime that is installed, which say nothing about its layers.

    A file that is over its budget there is rejected for that runtime and for no other.
    """
    judged = []
    for runtime in runtimes_judged_by_themselves():
        try:
            with open_artifact(path, available_threads(), runtime) as runner:
                parity = measured(runner)
        except NotAvailable as error:
            print(f"{path.name} is not offered for {runtime}: {error}", flush=True)
            continue
        judged.append(judge(path, precision, parity, budget, diverges=None, runtimes=[runtime]))
    return judged
