"""The device and the precision that this machine trains with."""

import torch


def best_device() -> torch.device:
    """Return the first GPU, or the CPU if there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished all queued work, so that the work can be timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def resolved_precision(precision: str, kind: str) -> str:
    """Return fp32, bf16 or fp16.

    `auto` is bf16 if the device multiplies in bf16; otherwise it is fp16 on a GPU and fp32 on a CPU.
    """
    if precision != "auto":
        return precision
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def device_facts(precision: str, kind: str) -> dict[str, str]:
    """Return the device's facts that affect a training's result, so that a CPU's state is not resumed on a GPU."""
    return {"device": kind, "precision": resolved_precision(precision, kind)}
