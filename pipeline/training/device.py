"""Where training runs and in which precision."""

import torch


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that convolutions run in, or None for float32; `auto` is bf16 where the machine multiplies in it."""
    if precision == "auto":
        precision = "bf16" if _computes_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else None


def precision_name(precision: str, device: torch.device) -> str:
    """What `precision` came to on this device, for the record."""
    return f"{'fp32' if autocast_dtype(precision, device) is None else 'bf16 autocast'} on {device.type}"


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
