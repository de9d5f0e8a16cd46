"""PNG files: the same bytes for the same pixels, never half written."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.data.files import replacing

_COMPRESSION = 3
"""zlib level. Fixed, for it changes the bytes; low, for noise does not get smaller."""


class PngError(RuntimeError):
    """Pixels that could not be encoded, or a file that could not be decoded."""


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) RGB or (H, W) uint8 pixels.

    Raises:
        PngError: the encoder refuses them.
    """
    ordered = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    encoded, data = cv2.imencode(".png", np.ascontiguousarray(ordered), [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    if not encoded:
        raise PngError(
            f"cannot encode pixels of shape {pixels.shape}, {pixels.dtype}, as PNG; "
            f"give uint8 pixels, (H, W, 3) or (H, W)"
        )
    return data.tobytes()


def decode_png(path: Path) -> np.ndarray:
    """Read an RGB image, (H, W, 3) uint8.

    Raises:
        PngError: not a picture.
    """
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise PngError(f"{path} is not a picture that can be read; delete it and run the prepare stage again")
    return pixels


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_png(path: Path, pixels: np.ndarray) -> None:
    write_bytes(path, encode_png(pixels))
