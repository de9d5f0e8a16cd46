"""What a GPU takes from the socket, as its own counter says."""

import pynvml
import torch


def gpu_joules() -> float | None:
    """Energy that the first GPU has taken since its driver was loaded; None without a GPU that counts it.

    The counter is the board's (NVML's nvmlDeviceGetTotalEnergyConsumption, Volta and later): whatever else runs on the
    GPU meanwhile counts too.
    """
    if not torch.cuda.is_available():
        return None
    try:
        pynvml.nvmlInit()
        board = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000  # NVML counts millijoules
    except pynvml.NVMLError:  # no permission, a part of a GPU, or a board without a counter
        return None
