"""What is released and what a release must reach, decided from records."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deploy.decisions import decide, defaults, failed_gates, for_receivers
from pipeline.records.artifacts import Engine
from pipeline.records.evaluation import miou_scope
from pipeline.records.release import Decision
from tests.deploy.release_material import FILES, NO_LIMITS, ON_OPENVINO, SIZE, TIMES, artifact, measured, on_openvino

ARTIFACTS = [*map(artifact, FILES), *(on_openvino(artifact(file)) for file in ON_OPENVINO)]


def decided(artifacts=ARTIFACTS, times=TIMES, engines=(), speedup: float = 1.2) -> dict[tuple[str, str], Decision]:
    decisions = decide(artifacts, engines, times, SIZE, {"fp16": 1.05, "int8": speedup})
    return {(d.runtime, d.precision): d for d in decisions}


def test_there_is_one_decision_for_each_runtime_and_precision() -> None:
    found = decided()
    assert list(found) == [
        ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), ("onnxruntime", "int8"),
        ("openvino", "fp32"), ("openvino", "int8"),
        ("tensorrt", "fp32"), ("tensorrt", "fp16"), ("tensorrt", "int8"),
    ]  # fmt: skip


def test_int8_ships_where_it_pays_and_nowhere_else() -> None:
    found = decided()
    int8 = found["onnxruntime", "int8"]
    assert (int8.verdict, int8.p50_ms, int8.speedup) == ("accepted", 4.0, 2.5)
    assert [value for value in ("4.00 ms", "10.00 ms", "fp32", "2.50") if value not in int8.reason] == []
    dear = found["openvino", "int8"]
    assert (dear.verdict, dear.speedup) == ("rejected", 9 / 8)
    assert [value for value in ("8.00 ms", "9.00 ms", "fp32", "1.12", "1.2") if value not in dear.reason] == []
    assert decided(speedup=1.1)["openvino", "int8"].verdict == "accepted"


def test_a_bundle_for_some_receivers_says_what_it_leaves_out() -> None:
    everywhere = list(decided().values())
    assert for_receivers(everywhere, ["onnxruntime", "openvino", "tensorrt"], "all") == everywhere
    on_cpus = {(d.runtime, d.precision): d for d in for_receivers(everywhere, ["onnxruntime", "openvino"], "fastest")}
    assert [key for key, d in on_cpus.items() if d.verdict == "accepted"] == [
        ("onnxruntime", "int8"),
        ("openvino", "fp32"),
    ]
    assert "release.files" in on_cpus["onnxruntime", "fp32"].reason
    assert "release.runtimes" in on_cpus["tensorrt", "int8"].reason
    dear = on_cpus["openvino", "int8"]
    assert dear == decided()["openvino", "int8"]  # its own reason stays
    undecided = [d.verdict for d in for_receivers(everywhere, ["tensorrt"], "fastest") if d.runtime == "tensorrt"]
    assert undecided == ["rejected"] * 3  # nothing was measured, so nothing is the fastest


def test_a_file_that_openvino_computes_otherwise_is_rejected_there_alone() -> None:
    wrong = replace(on_openvino(artifact("model.onnx", 0.4)), status="rejected", reason="0.4 points of mIoU lost")
    found = decided([*map(artifact, FILES), wrong, on_openvino(artifact("model_int8.onnx"))])
    assert (found["openvino", "fp32"].verdict, found["openvino", "fp32"].miou_lost_points) == ("rejected", 0.4)
    assert (found["onnxruntime", "fp32"].verdict, found["onnxruntime", "fp32"].miou_lost_points) == ("accepted", 0.0)


def test_a_speedup_must_hold_in_every_round() -> None:
    """Medians of two equal files on a busy machine once differed by 7 %."""
    slow = measured("openvino", "model.onnx", 12.7, p50_ms_of_rounds=[12.0, 12.7, 13.5])
    lucky = measured("openvino", "model_int8.onnx", 10.0, p50_ms_of_rounds=[10.0, 12.0, 9.0])
    found = decided(times=[slow, lucky])["openvino", "int8"]
    assert (found.verdict, found.speedup) == ("rejected", 1.27)
    assert [value for value in ("1.27", "1.06", "3 rounds", " 1.2 ") if value not in found.reason] == []
    steady = replace(lucky, p50_ms_of_rounds=[10.0, 10.5, 9.0])
    assert decided(times=[slow, steady])["openvino", "int8"].verdict == "accepted"


def test_exactly_the_needed_speedup_is_enough() -> None:
    times = [measured("openvino", "model.onnx", 12.0), measured("openvino", "model_int8.onnx", 10.0)]
    assert decided(times=times)["openvino", "int8"].verdict == "accepted"


def test_a_lower_precision_that_brings_nothing_does_not_ship() -> None:
    fp16 = decided()["onnxruntime", "fp16"]
    assert fp16.verdict == "rejected"
    assert [value for value in ("11.00 ms", "10.00 ms", "fp32") if value not in fp16.reason] == []
    even = [measured("onnxruntime", "model.onnx", 10.0), measured("onnxruntime", "model_fp16.onnx", 10.0)]
    assert decided(times=even)["onnxruntime", "fp16"].verdict == "rejected"


def test_int8_competes_with_the_best_other_precision() -> None:
    times = [
        measured("onnxruntime", "model.onnx", 10.0),
        measured("onnxruntime", "model_fp16.onnx", 4.5),
        measured("onnxruntime", "model_int8.onnx", 4.0),
    ]
    int8 = decided(times=times)["onnxruntime", "int8"]
    assert int8.verdict == "rejected"
    assert "4.50 ms" in int8.reason
    assert "fp16" in int8.reason
    over = [artifact("model_fp16.onnx", reason="over") if a.precision == "fp16" else a for a in ARTIFACTS]
    assert decided(over, times)["onnxruntime", "int8"].verdict == "accepted"  # what is rejected is no rival


def test_speed_cannot_buy_quality() -> None:
    over = [artifact(file, reason="0.9 points of mIoU lost" if "int8" in file else "") for file in FILES]
    int8 = decided(over)["onnxruntime", "int8"]
    assert (int8.verdict, int8.reason, int8.p50_ms) == ("rejected", "0.9 points of mIoU lost", 4.0)


def test_an_engine_that_ran_over_its_budget_rejects_its_precision_on_tensorrt_only() -> None:
    engine = Engine(
        precision="fp32", backend="tensorrt_rtx", version="1", compute_capabilities=["SM86"], file="x.engine",
        bytes=1, sha256="", source_file="model.onnx", source_sha256="", status="built", executed=True, accepted=False,
        reason="0.1 points lost", parity=None,
    )  # fmt: skip
    found = decided(engines=[engine])
    assert (found["tensorrt", "fp32"].verdict, found["tensorrt", "fp32"].reason) == (
        "rejected",
        "x.engine: 0.1 points lost",
    )
    assert found["onnxruntime", "fp32"].verdict == "accepted"


def test_what_was_not_measured_stays_undecided_with_the_reason() -> None:
    times = [*TIMES, replace(measured("tensorrt", "model.onnx", 1.0), status="not run", reason="no GPU", p50_ms=None)]
    found = decided(times=times)
    assert (found["tensorrt", "fp32"].verdict, found["tensorrt", "fp32"].p50_ms) == ("undecided", None)
    assert "no GPU" in found["tensorrt", "fp32"].reason
    assert "benchmark" in found["tensorrt", "int8"].reason
    assert "no GPU" not in found["tensorrt", "int8"].reason


@pytest.mark.parametrize(
    "other", [{"boundary": "device_compute"}, {"batch": 4}, {"height": 99}, {"width": 99}, {"precision": "bf16"}]
)
def test_only_the_protocols_own_times_decide(other: dict) -> None:
    fp32, int8 = measured("openvino", "model.onnx", 9.0), measured("openvino", "model_int8.onnx", 1.0)
    assert decided(times=[fp32, replace(int8, **other)])["openvino", "int8"].verdict == "undecided"


def test_int8_without_a_rival_is_undecided() -> None:
    assert decided(times=[measured("openvino", "model_int8.onnx", 1.0)])["openvino", "int8"].verdict == "undecided"


def test_a_noisy_measurement_is_said() -> None:
    noisy = replace(TIMES[2], noisy=True, coefficient_of_variation=0.4)
    reason = decided(times=[TIMES[0], noisy])["onnxruntime", "int8"].reason
    assert [value for value in ("4.00 ms", "noisy", "40%") if value not in reason] == []


def test_the_default_of_a_runtime_is_its_fastest_and_the_fastest_comes_first() -> None:
    best = defaults(list(decided().values()))
    assert [(d.runtime, d.precision) for d in best] == [("onnxruntime", "int8"), ("openvino", "fp32")]


@given(
    times=st.tuples(*[st.floats(0.1, 1000.0)] * 3),
    over=st.tuples(*[st.booleans()] * 3),
    speedup=st.floats(1.0, 5.0),
)
def test_what_ships_is_within_budget_and_has_paid(times, over, speedup) -> None:
    files = ("model.onnx", "model_fp16.onnx", "model_int8.onnx")
    artifacts = [artifact(file, reason="over" if bad else "") for file, bad in zip(files, over, strict=True)]
    measurements = [measured("onnxruntime", file, ms) for file, ms in zip(files, times, strict=True)]
    found = {
        d.precision: d
        for d in decide(artifacts, (), measurements, SIZE, {"fp16": 1.05, "int8": speedup})
        if d.runtime == "onnxruntime"
    }
    for decision, bad in zip(found.values(), over, strict=True):
        assert decision.verdict == "rejected" or not bad
    if found["int8"].verdict == "accepted":
        rivals = [ms for ms, bad in zip(times[:2], over[:2], strict=True) if not bad]
        assert times[2] * speedup <= min(rivals) * (1 + 1e-9)


def gates(limits, artifacts=ARTIFACTS, times=TIMES, scope="") -> list[str]:
    return failed_gates(list(decided(artifacts, times).values()), artifacts, scope, limits)


def test_without_limits_everything_passes() -> None:
    assert gates(NO_LIMITS) == []


def test_each_failed_gate_is_one_reason_with_both_numbers() -> None:
    limits = replace(NO_LIMITS, min_miou=0.51, max_miou_lost_points=0.1, max_p90_ms=1.0, max_mebibytes=1.0)
    artifacts = [artifact(file, 0.25 if "int8" in file else 0.0, size=2 * 2**20) for file in FILES]
    reasons = (
        ("mIoU", "0.4975", "model_int8.onnx", "0.51", "release.min_miou"),
        ("model_int8.onnx", "0.250 points", "mIoU", " 0.1 ", "release.max_miou_lost_points"),
        ("p90", "4.40 ms", "model_int8.onnx", "onnxruntime", " 1 ms", "release.max_p90_ms"),
        ("model.onnx", "2.0 MiB", " 1 MiB", "release.max_mebibytes"),
    )
    for reason, values in zip(gates(limits, artifacts), reasons, strict=True):
        assert [value for value in values if value not in reason] == []


def test_a_gate_of_miou_says_over_which_classes_it_is() -> None:
    limits = replace(NO_LIMITS, min_miou=0.51, max_miou_lost_points=0.1)
    scope = miou_scope({"road": 0.5, "pole": None}, "test")
    reasons = gates(limits, [artifact(file, 0.25 if "int8" in file else 0.0) for file in FILES], scope=scope)
    assert len(reasons) == 2
    assert [value for value in ("`pole`", "test", "1", "2") if value not in scope] == []
    assert all(f"mIoU{scope}" in reason for reason in reasons)


def test_limits_hold_for_what_ships_alone() -> None:
    """int8 is over every limit, and rejected, so nothing speaks against the run."""
    artifacts = [
        artifact(file, 5.0, "over", size=10**9) if "int8" in file else artifact(file, size=1000) for file in FILES
    ]
    assert gates(replace(NO_LIMITS, min_miou=0.5, max_miou_lost_points=0.1, max_mebibytes=1.0), artifacts) == []


def test_an_unknown_p90_does_not_pass() -> None:
    few = [replace(time, p90_ms=None, calls=20) for time in TIMES]
    (reason,) = gates(replace(NO_LIMITS, max_p90_ms=100.0), times=few)
    values = ("p90", "model_int8.onnx", "onnxruntime", "100 ms", "release.max_p90_ms", "benchmark.calls")
    assert [value for value in values if value not in reason] == []
    assert gates(NO_LIMITS, times=few) == []
