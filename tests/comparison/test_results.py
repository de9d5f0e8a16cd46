"""Results of seeds that were trained on different machines."""

from pipeline.comparison.cost import Cost
from pipeline.comparison.results import CandidateResult
from pipeline.params.runs import TeachingParams


def _result(name: str, seconds: tuple[float, ...]) -> CandidateResult:
    return CandidateResult(
        name=name,
        teaching=TeachingParams(distill={}, momentum_shift=0.0, inherit_layers=False, unlabelled_share=0.0),
        miou=(0.5,) * len(seconds),
        iou_per_class=({},) * len(seconds),
        seconds_per_iteration=seconds,
        peak_memory_bytes=1,
        gpu_peak_memory_bytes=None,
        gpu_watts=None,
        agreement=None,
        cost=Cost(training_only_parameters=0, student_macs=1, teacher_macs=0, methods_macs=0),
        machines=({"cpu": "made up"},) * len(seconds),
    )


def test_time_is_compared_within_a_seed() -> None:
    """The third seed's machine is four times as fast: that makes the method no cheaper."""
    slow, fast = 2.0, 0.5
    baseline = _result("none", (slow, slow, fast))
    assert _result("kd", (3 * slow, 3 * slow, 3 * fast)).slowdown(baseline) == 3.0
    assert _result("kd", (slow, 2 * slow, 3 * fast)).slowdown(baseline) == 2.0
