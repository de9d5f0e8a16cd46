"""The numbers of one profile in one record: summary.json, and the page's tables."""

from dataclasses import dataclass

from pipeline.records.benchmark import IMAGE_TO_LABELS
from pipeline.records.release import Decision
from pipeline.reporting.inputs import Inputs, Run

RUNTIME = "onnxruntime"
ENGINE_FIELDS = ("precision", "backend", "status", "executed", "reason", "bytes")


@dataclass(frozen=True, kw_only=True)
class TeacherSummary:
    miou: float  # 0..1
    pixel_accuracy: float  # 0..1
    architecture: str
    backbone: str


@dataclass(frozen=True, kw_only=True)
class FastestSummary:
    """The fastest file that ships, over all runtimes."""

    runtime: str
    precision: str
    file: str
    miou: float  # 0..1
    p50_ms: float | None
    noisy: bool  # its latency varied too much
    times_eager: float | None  # speed-up over PyTorch eager float32; None: nothing to compare with


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    run: str
    architecture: str
    method: str
    seed: int
    miou: float  # 0..1
    baseline_miou: float  # 0..1; its own for a baseline
    gain_points: float | None  # points of 100; None for a baseline
    pixel_accuracy: float  # 0..1
    params: int
    gmacs: float
    onnx_pixel_agreement: float  # 0..1
    onnx_miou: float  # 0..1
    latency_p50_ms: float | None  # of the fp32 graph; None: not measured
    latency_runtime: str
    latency_boundary: str
    fastest: FastestSummary | None  # None: nothing ships
    decisions: list[Decision]
    engines: list[dict[str, object]]
    release: str
    release_reasons: list[str]
    signed: bool


@dataclass(frozen=True, kw_only=True)
class Summary:
    profile_title: str
    teacher: TeacherSummary
    runs: list[RunSummary]
    machine: dict[str, bool | str | int | float | None]  # that timed the first run

    @property
    def best(self) -> RunSummary:
        """The student with the highest mIoU; the first of equals."""
        return max(self.runs, key=lambda run: run.miou)


def summarize(title: str, inputs: Inputs) -> Summary:
    """Pick the numbers; nothing is measured or rounded here."""
    teacher = inputs.teacher.evaluation
    return Summary(
        profile_title=title,
        teacher=TeacherSummary(
            miou=teacher.miou,
            pixel_accuracy=teacher.pixel_accuracy,
            architecture=teacher.architecture,
            backbone=teacher.backbone,
        ),
        runs=[_summarize_run(run, inputs) for run in inputs.runs.values()],
        machine=next(iter(inputs.runs.values())).benchmark.machine,
    )


def _summarize_run(run: Run, inputs: Inputs) -> RunSummary:
    evaluation = run.evaluation
    baseline_miou = inputs.runs[run.params.baseline].evaluation.miou
    timing = run.benchmark.measured(RUNTIME, "fp32", run.shape)
    return RunSummary(
        run=run.name,
        architecture=evaluation.architecture,
        method=evaluation.method,
        seed=evaluation.seed,
        miou=evaluation.miou,
        baseline_miou=baseline_miou,
        gain_points=None if run.is_baseline else 100 * (evaluation.miou - baseline_miou),
        pixel_accuracy=evaluation.pixel_accuracy,
        params=evaluation.parameters,
        gmacs=evaluation.gmacs,
        onnx_pixel_agreement=run.export.full.parity.pixel_agreement,
        onnx_miou=run.export.full.parity.miou,
        latency_p50_ms=timing.p50_ms if timing else None,
        latency_runtime=RUNTIME,
        latency_boundary=IMAGE_TO_LABELS,
        fastest=_fastest(run),
        decisions=run.decisions,
        engines=[{field: getattr(engine, field) for field in ENGINE_FIELDS} for engine in run.engines.engines],
        release=run.release.status,
        release_reasons=run.release.reasons,
        signed=run.signed,
    )


def _fastest(run: Run) -> FastestSummary | None:
    if not run.shipping:
        return None
    decision = run.shipping[0]
    return FastestSummary(
        runtime=decision.runtime,
        precision=decision.precision,
        file=decision.file,
        miou=decision.miou,
        p50_ms=decision.p50_ms,
        noisy=run.is_noisy(decision),
        times_eager=run.benchmark.times_eager(decision.runtime, decision.p50_ms, run.shape),
    )
