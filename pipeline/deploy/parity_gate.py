"""Accept or reject an exported graph by its parity with the checkpoint, on each runtime that is compared."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.data.files import sha256
from pipeline.deploy.layer_outputs import Divergence
from pipeline.measure.parity import complaints
from pipeline.params.deployment import BudgetParams
from pipeline.params.sections import Precision
from pipeline.records.artifacts import Artifact, Parity
from pipeline.runtime.artifacts import open_artifact
from pipeline.threads import available_threads
from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets.target import runtimes_judged_by_onnxruntime, runtimes_judged_by_themselves


def judge(
    path: Path, precision: Precision, parity: Parity, budget: BudgetParams,
    diverges: Callable[[], Divergence] | None = None, objections: Sequence[str] = (),
    runtimes: list[str] | None = None,
) -> Artifact:  # fmt: skip
    """Accept a graph that is within its budget. Otherwise reject it; the reason names the layer where it diverges.

    Args:
        diverges: finds that layer; called only if the graph is over its budget. None if its layers cannot be read.
        objections: further reasons to reject it.
        runtimes: the runtimes that are judged. None means those that are judged by ONNX Runtime's labels.
    """
    reasons = [*objections, *complaints(parity, budget)]
    if len(reasons) > len(objections) and diverges is not None:
        reasons.append(f"first diverges at {diverges()}")
    return Artifact(
        file=path.name, precision=precision, runtimes=runtimes or runtimes_judged_by_onnxruntime(path.name),
        bytes=path.stat().st_size, sha256=sha256(path), status="rejected" if reasons else "accepted",
        reason="; ".join(reasons), parity=parity,
    )  # fmt: skip


def judge_on_other_runtimes(
    path: Path, precision: Precision, compared: Callable[[Runner], Parity], budget: BudgetParams
) -> list[Artifact]:
    """Judge the same file on each other installed runtime, by its labels there and for this runtime alone."""
    judged = []
    for runtime in runtimes_judged_by_themselves():
        try:
            parity = compared(open_artifact(path, available_threads(), runtime))
            judged.append(judge(path, precision, parity, budget, runtimes=[runtime]))
        except NotAvailable as error:
            print(f"{path.name} was not compared on {runtime}, so it is not released for it: {error}", flush=True)
    return judged
