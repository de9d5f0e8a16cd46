"""Which random numbers belong to which street: the address of a frame is its seed."""

import numpy as np

from pipeline.preparation.streets.frame import draw_frame
from pipeline.preparation.streets.layout import random_world
from pipeline.preparation.streets.world import World

STREAMS = ("train", "val", "test", "broken", "unlabelled")
"""Independent families of streets; `broken` are those of the defective samples. A new one goes to the end."""


def sequence_world(seed: int, stream: str, sequence: int) -> World:
    """The street of a sequence."""
    return random_world(_generator(seed, STREAMS.index(stream), sequence))


def sequence_frame(
    world: World, seed: int, stream: str, sequence: int, frame: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """One frame of a sequence's street.

    Args:
        world: what `sequence_world` gives for the same seed, stream and sequence.
        seed: of the whole dataset.
        stream: one of STREAMS.
        sequence: its number within the stream.
        frame: its number within the sequence.
        height: pixels.
        width: pixels.

    Returns:
        Image (height, width, 3) uint8 RGB and mask (height, width) uint8 of raw ids.
    """
    return draw_frame(world, frame, height, width, _generator(seed, STREAMS.index(stream), sequence, frame))


def _generator(seed: int, *address: int) -> np.random.Generator:
    # The address goes into the spawn key: appended to the entropy, (1, 2) and (1, 2, 0) would give the same numbers.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=address))
