"""ONNX Runtime on an NVIDIA GPU."""

from typing import Any

from segdistill_runtime.targets.onnxruntime import OnnxRuntime


class OnnxRuntimeCuda(OnnxRuntime):
    name = decided_with = "onnxruntime_cuda"
    label = "ONNX Runtime CUDA"
    device = "gpu"
    packages = ("onnxruntime-gpu",)
    triton_backend = ""
    provider = "CUDAExecutionProvider"

    def session_options(self, threads: int) -> Any:
        options = super().session_options(threads)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # not even for single nodes
        onnxruntime = self.load()
        if hasattr(onnxruntime, "preload_dlls"):  # 1.21 and later; pip packages may contain CUDA's libraries
            onnxruntime.preload_dlls()
        return options

    def provider_options(self) -> dict[str, str]:
        return {"use_tf32": "0"}  # on by default; fp32 would have only 10 bits of mantissa
