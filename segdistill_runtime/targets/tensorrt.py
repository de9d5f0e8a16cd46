"""TensorRT: engines for the GPU of the machine that builds them."""

from segdistill_runtime.engine_target import EngineTarget


class TensorRT(EngineTarget):
    name = module = "tensorrt"
    label = "TensorRT"
    packages = ("tensorrt",)
    ahead_of_time = False
