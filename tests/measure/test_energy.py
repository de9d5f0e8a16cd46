"""A GPU's energy counter where there is one, and nothing made up where there is none."""

import time

import pytest
import torch

from pipeline.measure.machine import gpu_joules


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_known() -> None:
    assert gpu_joules() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_takes_tens_to_hundreds_of_watts() -> None:
    before, begun = gpu_joules(), time.monotonic()
    if before is None:
        pytest.skip("this GPU does not count its energy")
    time.sleep(2)  # the counter moves every tenth of a second or so
    after = gpu_joules()
    assert after is not None
    assert 5 < (after - before) / (time.monotonic() - begun) < 2000
