"""Run a checkpoint, an ONNX file or an engine."""

TORCH_RUNNERS = {
    "pytorch_eager": "pipeline.runtime.torch_runner:TorchRunner",
    "pytorch_compiled": "pipeline.runtime.torch_runner:CompiledTorchRunner",
}
