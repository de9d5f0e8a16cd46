"""What stands where in one street, and how it moves: all that the frames of a sequence have in common."""

from dataclasses import dataclass

import numpy as np

from pipeline.preparation.streets.textures import Texture

PERIOD = 120.0
"""Meters after which a street repeats; more than can be seen, so that a drive may take as long as it likes."""

BEHIND = 25.0
"""Meters behind the camera to which things are kept; no building is longer."""


@dataclass(frozen=True)
class Light:
    """Weather, sun and the camera's own quirks."""

    sky_top: np.ndarray  # RGB
    sky_horizon: np.ndarray  # RGB; also the haze's color
    cloud: np.ndarray  # RGB
    cloud_cover: float  # 0..1
    shadow_x: float  # meters by which the shadow of a point one meter high is shifted to the right
    shadow_z: float  # the same, ahead
    shadow_strength: float  # share of light that a cast shadow takes
    haze_distance: float  # meters after which 63 % of a color is haze
    exposure: float  # factor on all colors
    gamma: float
    cast: np.ndarray  # factor for each of RGB
    noise: float  # gray values, standard deviation in mid-gray
    blur: float  # pixels, standard deviation
    vignette: float  # share of light lost in the corners


@dataclass(frozen=True)
class Ground:
    """The road with its markings, and the pavements beside it."""

    road_half: float  # meters from the middle to a curb
    lane: float  # meters, width of one lane
    pavement: float  # meters from a curb to the houses
    asphalt: np.ndarray  # RGB
    slabs: np.ndarray  # RGB of the pavement
    marking: np.ndarray  # RGB
    dash: float  # meters of paint in the middle line; it repeats after DASH_PITCH
    edge_lines: bool
    crossings: tuple[float, ...]  # z of zebra crossings, meters
    patches: np.ndarray  # (n, 5): x, z, width and length in meters, and brightness factor of repaired asphalt
    tile: np.ndarray  # (n, n, 2) uint8, 128 = unchanged: brightness of asphalt and of slabs


@dataclass(frozen=True)
class Building:
    z: float  # near end, meters
    length: float
    height: float
    x: float  # of the front; negative on the left
    depth: float  # meters away from the street
    front: Texture
    gable: np.ndarray  # RGB of the end wall


@dataclass(frozen=True)
class Barrier:
    """A fence or a hedge along the street."""

    z: float
    length: float
    height: float
    x: float
    texture: Texture
    raw_id: int


@dataclass(frozen=True)
class Tree:
    x: float
    z: float
    width: float
    height: float
    texture: Texture


@dataclass(frozen=True)
class Pole:
    x: float
    z: float
    height: float
    width: float
    arm: float  # meters of the lamp's arm, signed; 0 for none
    color: np.ndarray
    sign: str  # "", round, triangle, diamond, board or lights
    sign_color: np.ndarray
    sign_rim: np.ndarray


@dataclass(frozen=True)
class Bin:
    """A dustbin: none of the classes, so its pixels are void."""

    x: float
    z: float
    color: np.ndarray


@dataclass(frozen=True)
class Car:
    x: float
    z: float
    speed: float  # meters a frame along the street
    heading: int  # 1 drives away, -1 comes closer
    shape: str  # a key of vehicles.SHAPES
    color: np.ndarray


@dataclass(frozen=True)
class Person:
    x: float
    z: float
    speed: float
    height: float
    sideways: float  # 0 walks along the street, 1 across: how much of the stride is seen
    phase: float  # of the stride, radians
    top: np.ndarray  # RGB
    legs: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    bicycle: bool


@dataclass(frozen=True)
class Skyline:
    """The far end of the street: a ragged row of blocks and treetops."""

    edges: np.ndarray  # (n + 1,) x in meters at distance 1, that is slopes
    heights: np.ndarray  # (n,) meters
    colors: np.ndarray  # (n, 3)
    raw_ids: np.ndarray  # (n,)


@dataclass(frozen=True)
class World:
    """One street. Everything with a z stands, or starts, there and repeats every PERIOD meters."""

    light: Light
    ground: Ground
    skyline: Skyline
    clouds: np.ndarray  # seamless noise
    buildings: tuple[Building, ...]
    barriers: tuple[Barrier, ...]
    trees: tuple[Tree, ...]
    poles: tuple[Pole, ...]
    bins: tuple[Bin, ...]
    cars: tuple[Car, ...]
    people: tuple[Person, ...]
    start: float  # z of the camera in frame 0, meters
    speed: float  # of the camera, meters a frame
    focal: float  # relative to the picture's width
    horizon: float  # relative to the picture's height
    center: float  # relative to the picture's width
    camera_height: float  # meters
    camera_x: float  # meters from the middle of the road
    bend: float  # 1 / meters
    hood: float  # height of the own hood in the picture, relative to the picture's height; 0: out of sight
    hood_color: np.ndarray

    def ahead(self, z: float, frame: int, speed: float = 0.0) -> float:
        """Distance from the camera in `frame`, in meters, -BEHIND..PERIOD - BEHIND, of what started at `z`."""
        distance = z - self.start + (speed - self.speed) * frame
        return (distance + BEHIND) % PERIOD - BEHIND
