"""TensorRT for RTX: engines for several GPUs, built on a machine that has none."""

from segdistill_runtime.engine_target import EngineTarget


class TensorRTForRTX(EngineTarget):
    name = module = "tensorrt_rtx"
    label = "TensorRT for RTX"
    packages = ("tensorrt-rtx-cu13",)
    ahead_of_time = True
