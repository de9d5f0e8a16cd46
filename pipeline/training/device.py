"""The device that this machine trains on, and the precision that it trains in."""

import torch


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait_for(device: torch.device) -> None:
    """Until all that was asked of it is done; to time it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def resolved_precision(precision: str, kind: str) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 where the device multiplies in it, fp16 on older GPUs."""
    if precision != "auto":
        return precision
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def device_facts(precision: str, kind: str) -> dict[str, str]:
    """Return what of the device decides a training's result: a state of a CPU is not resumed on a GPU."""
    return {"device": kind, "precision": resolved_precision(precision, kind)}
