"""The numbers of one profile in one record: what summary.json holds and what the page's tables show."""

from dataclasses import dataclass

from pipeline.reporting.material import Material, Run

RUNTIME = "onnxruntime"
BOUNDARY = "image_to_labels"


@dataclass(frozen=True, kw_only=True)
class TeacherSummary:
    miou: float  # 0..1
    pixel_accuracy: float  # 0..1
    architecture: str
    backbone: str


@dataclass(frozen=True, kw_only=True)
class EngineSummary:
    precision: str
    backend: str
    status: str
    executed: bool
    reason: str
    bytes: int


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
    latency_p50_ms: float | None  # None: not measured
    latency_runtime: str
    engines: list[EngineSummary]
    release: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    profile_title: str
    teacher: TeacherSummary
    runs: list[RunSummary]
    machine: dict[str, str | int | float | None]  # that timed the first run

    @property
    def best(self) -> RunSummary:
        """The student with the highest mIoU; the first of equals."""
        return max(self.runs, key=lambda run: run.miou)


def summarize(title: str, material: Material) -> Summary:
    """Pick the numbers; nothing is measured or rounded here."""
    teacher = material.teacher.evaluation
    return Summary(
        profile_title=title,
        teacher=TeacherSummary(
            miou=teacher.miou,
            pixel_accuracy=teacher.pixel_accuracy,
            architecture=teacher.architecture,
            backbone=teacher.backbone,
        ),
        runs=[_summarize_run(run, material) for run in material.runs.values()],
        machine=next(iter(material.runs.values())).profile.machine,
    )


def _summarize_run(run: Run, material: Material) -> RunSummary:
    evaluation = run.judged.evaluation
    baseline_miou = material.runs[run.params.baseline].judged.evaluation.miou
    timing = run.profile.measurement(RUNTIME, BOUNDARY)
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
        onnx_pixel_agreement=run.export.parity.pixel_agreement,
        onnx_miou=run.export.parity.miou,
        latency_p50_ms=timing.p50_ms if timing else None,
        latency_runtime=RUNTIME,
        engines=[
            EngineSummary(
                precision=e.precision,
                backend=e.backend,
                status=e.status,
                executed=e.executed,
                reason=e.reason,
                bytes=e.bytes,
            )
            for e in run.engines.engines
        ],
        release=run.release.status,
    )
