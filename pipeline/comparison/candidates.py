"""Standard candidates: methods as their authors combine and weight them, adapted to the profile's maps."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from models.build import build_segmenter
from models.meta import without_memory
from pipeline.params.runs import TeachingParams
from pipeline.params.tree import Params
from pipeline.training.network import design_of


class Maps(NamedTuple):
    """Sizes of the teacher's and the student's maps for one crop; a weight may depend on them."""

    student_architecture: str
    backbone_channels: int  # the teacher's
    backbone_cells: int  # the student's
    head_channels: int  # the teacher's
    student_head_channels: int
    head_cells: int  # the student's


Weight = float | Callable[[Maps], float]


def gdd(maps: Maps) -> float:
    return 175.0 if maps.student_architecture == "deeplabv3" else 145.0


def mgd(maps: Maps) -> float:
    """Scale the authors' 2e-5, which is for 2048 channels of 64 x 64 cells: the loss is a sum over both."""
    return 2e-5 * (2048 / maps.backbone_channels) * (64 * 64 / maps.backbone_cells)


def at(maps: Maps) -> float:
    """Scale CIRKD's 10000, which is for 64 x 128 cells: the loss falls with their number."""
    return 10000 * maps.head_cells / (64 * 128)


def cwd_features(maps: Maps) -> float:
    """Scale CIRKD's 50: its code divides by the student's channels, ours by the teacher's."""
    return 50 * maps.head_channels / maps.student_head_channels


# docs/reference/methods.md has the sources. CIRKD's scripts (at, fitnet, cwd_features, skd_pair, ifvd) add `kd`, and
# for the last three an adversarial term of 0.001 that is not here.
WEIGHTS: dict[str, dict[str, Weight]] = {
    "gdd": {"gdd": gdd},
    "gdd_cwd": {"gdd": gdd, "cwd": 3.0},  # with the logit term, which GDD's code has and its configurations switch off
    "mgd": {"mgd": mgd},
    "mgd_cwd": {"mgd": mgd, "cwd": 3.0},  # as in MGD's configurations
    "afdcd": {"kd": 1.0, "afdcd": 1.0},
    "nfd": {"nfd": 6.0},  # no published weight: pkd's, because pkd has the same form
    "pkd": {"pkd": 6.0},  # mmrazor's
    "diffkd": {"diffkd": 1.0},
    "diffkd_logits": {"diffkd_logits": 1.0},
    "diffkd_both": {"diffkd": 1.0, "diffkd_logits": 1.0},
    "at": {"kd": 1.0, "at": at},
    "fitnet": {"kd": 1.0, "fitnet": 10.0},
    "cwd_features": {"kd": 1.0, "cwd": 3.0, "cwd_features": cwd_features},
    "cwd": {"cwd": 3.0},
    "cwd_dist": {"cwd": 3.0, "dist": 1.0},  # our combination: the best on CamVid at half size (docs/log.md)
    "kd": {"kd": 1.0},  # CIRKD's
    "skd_pixel": {"skd_pixel": 10.0},
    "skd_pair": {"kd": 1.0, "skd_pair": 10.0},
    "ifvd": {"kd": 1.0, "ifvd": 20.0},  # the first authors use 200, together with 10 of skd_pixel
    "cirkd": {"kd": 1.0, "cirkd_minibatch": 1.0, "cirkd_memory": 0.1},
    "cirkd_minibatch": {"cirkd_minibatch": 1.0},
    "cirkd_memory": {"cirkd_memory": 0.1},
    "dist": {"dist": 1.0},
    "maskd": {"maskd": 1.0},
    "srd": {"srd": 1.0},
    "cauchy_schwarz": {"cauchy_schwarz": 1.0},  # no published weight for a single task
    "fakd": {"fakd": 1.0},  # no published weight
    "bckd": {"bckd": 1.0},  # published for detection
    "ferkd": {"ferkd": 1.0},  # kd's weight, because it calibrates kd
    "adakd": {"adakd": 1.0},  # kd's weight, because it weights kd
}
UNLIMITED = 1e9  # longer than any gradient


def candidates_of(params: Params) -> dict[str, TeachingParams]:
    """Return the standard candidates for the comparison's recipe, with those that the profile adds or changes."""
    maps = maps_of(params)
    found = {
        name: TeachingParams(
            distill={method: weight(maps) if callable(weight) else weight for method, weight in weights.items()}
        )
        for name, weights in WEIGHTS.items()
    }
    found["gdd_unlimited"] = replace(found["gdd"], max_gradient_norm=UNLIMITED)  # its authors do not clip gradients
    found["kd_dot"] = replace(found["kd"], momentum_shift=0.075)  # DOT's authors' shift
    return {**found, **params.comparison.candidates}


def maps_of(params: Params) -> Maps:
    network, training = params.run(params.comparison.recipe).network, params.training
    crop = torch.zeros(1, 3, training.crop_height, training.crop_width, device="meta")
    with without_memory(), torch.no_grad():
        student, teacher = (build_segmenter(design_of(n, ("a", "b"))).eval() for n in (network, params.teacher.network))
        seen = student(crop, training.image_scale)
    return Maps(
        student_architecture=network.architecture,
        backbone_channels=teacher.backbone_channels,
        backbone_cells=seen.backbone_features[0, 0].numel(),
        head_channels=teacher.head_channels,
        student_head_channels=student.head_channels,
        head_cells=seen.head_features[0, 0].numel(),
    )
