"""Photometric distortion of a batch, on the device that trains: brightness, contrast, saturation, hue."""

from jaxtyping import Float
from torch import Tensor

NEUTRAL = (0.0, 1.0, 1.0, 0.0)
"""Brightness to add in grey values of 0..255, contrast and saturation to multiply with, hue to add in degrees."""


def distort(image: Float[Tensor, "n 3 H W"], strengths: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 H W"]:
    """RGB in 0..1, and for each image what NEUTRAL leaves as it is; RGB in 0..1 again.

    Saturation and hue are those of HSV, without its angles: each channel is the value less the part of the chroma that
    its distance from the hue on the circle of six colors gives.
    """
    brightness, contrast, saturation, hue = (column[:, None, None] for column in strengths.unbind(dim=1))
    shifted = ((image + brightness[:, None] / 255) * contrast[:, None]).clamp_(0, 1)
    red, green, blue = shifted.unbind(dim=1)
    value = shifted.amax(dim=1)
    chroma = value - shifted.amin(dim=1)
    some = chroma.clamp(min=1e-6)  # grey has no hue: whatever it gets here is multiplied by no chroma
    place = ((blue - red) / some + 2).where(green == value, (red - green) / some + 4)
    place = ((green - blue) / some).where(red == value, place) + hue / 60
    chroma = (chroma * saturation).minimum(value)
    for channel, offset in enumerate((5, 3, 1)):
        near = (place + offset).remainder_(6)
        near = near.minimum(4 - near).clamp_(0, 1)
        shifted[:, channel] = value - chroma * near
    return shifted
