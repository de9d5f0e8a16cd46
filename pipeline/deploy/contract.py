"""preprocessing.json: the one contract from which the runner, the card, Triton and Isaac ROS take what they say."""

from collections.abc import Mapping, Sequence

from pipeline.deploy.golden import IMAGE, Golden
from pipeline.deploy.shipping import Decision, defaults

INPUT, OUTPUT = "image", "labels"


def preprocessing_contract(
    run: str, size: tuple[int, int], decisions: Sequence[Decision], golden: Golden, min_speedup: Mapping[str, float]
) -> dict[str, object]:
    """All that a client has to do to an image, and which file each runtime is to run; the graph does the rest.

    Args:
        size: (H, W) of the graphs.
    """
    height, width = size
    best = defaults(decisions)
    return {
        "format": "segdistill-preprocessing-1",
        "run": run,
        "input": INPUT,
        "output": OUTPUT,
        "type": "uint8",
        "color": "RGB",
        "layout": "NHWC",
        "batch": 1,
        "height": height,
        "width": width,
        "input_shape": [1, height, width, 3],
        "output_shape": [1, height, width],
        "output_meaning": "uint8 train id of each pixel: its class's position in classes.json",
        "classes": "classes.json",
        "normalization": "inside the graph: give raw pixel values 0..255",
        "orientation": "turn the image as its EXIF orientation says, before anything else",
        "resize": {
            "rule": "bilinear, half-pixel centers, no antialiasing",
            "position": "pixel i of n lies at ((2 i + 1) m - n) / (2 n) in a row of m pixels, at least 0; "
            "its neighbors are the whole numbers around it, at most m - 1",
            "rounding": "the exact value, rounded half up; whole numbers are enough (runner/images.py, cpp/main.cpp)",
            "labels": "nearest neighbor: pixel i of n is pixel floor((2 i + 1) m / (2 n)) of m",
        },
        "runtimes": [
            {"runtime": d.runtime, "precision": d.precision, "model": d.file, "p50_ms": d.p50_ms} for d in best
        ],
        "others": [
            {
                "runtime": d.runtime,
                "precision": d.precision,
                "model": d.file,
                "verdict": d.verdict,
                "reason": "it ships, but another file is faster on this runtime" if d.verdict == "ships" else d.reason,
            }
            for d in decisions
            if d not in best
        ],
        "min_speedup": dict(min_speedup),
        "golden": {
            "image": IMAGE,
            "sample": golden.sample,
            "labels": golden.labels,
            "min_pixel_agreement": golden.min_pixel_agreement,
        },
    }
