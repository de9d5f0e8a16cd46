"""Section `benchmark`: latency on this machine."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.params.sections import Count, NonNegative, Positive, key_of, section
from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime.targets import TARGETS

Runtime = Annotated[str, AfterValidator(key_of(TORCH_RUNNERS | TARGETS))]


@section
class BenchmarkParams:
    runtimes: list[Runtime] = Field(default=["pytorch_eager", "onnxruntime", "openvino", "tensorrt"])
    warmup_calls: Count = 50  # untimed
    warmup_s: NonNegative = 0.5  # seconds, at least
    calls: Count = 1000  # timed, at least; p90 needs 64 calls, p99 needs 662
    min_s: NonNegative = 3.0  # seconds of timed calls, at least
    max_s: Positive = 60.0  # seconds after which timing ends, with fewer calls
    rounds: Count = 4  # all runtimes take turns, so that a slow minute of the machine hits all of them
    threads: Count = 2
    images: Count = 16  # different images that are cycled through
    noisy_above: Positive = 0.25  # coefficient of variation above which a timing is marked as noisy
