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
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # of single nodes
        onnxruntime = self.load()
        if hasattr(onnxruntime, "preload_dlls"):  # 1.21 and later; CUDA's libraries may lie in packages of pip
            onnxruntime.preload_dlls()
        return options

    def provider_options(self) -> dict[str, str]:
        return {"use_tf32": "0"}  # on by default, and fp32 would then mean 10 bits of mantissa
