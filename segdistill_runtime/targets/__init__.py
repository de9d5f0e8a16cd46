"""Runtimes that run a model. To add one, write its file here and add its line; `target.py` describes such a file."""

TARGETS = {
    "onnxruntime": "segdistill_runtime.targets.onnxruntime:OnnxRuntime",
    "onnxruntime_cuda": "segdistill_runtime.targets.onnxruntime_cuda:OnnxRuntimeCuda",
    "openvino": "segdistill_runtime.targets.openvino:OpenVino",
    "tensorrt_rtx": "segdistill_runtime.targets.tensorrt_rtx:TensorRTForRTX",
    "tensorrt": "segdistill_runtime.targets.tensorrt:TensorRT",
}
