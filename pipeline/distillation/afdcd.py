"""Augmentation-free Dense Contrastive Distillation (Af-DCD), NeurIPS 2023 (Fan, Li, Liu, Song, Yao)."""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from models.segmenter import Segmenter
from pipeline.distillation.generator import GenerativeMethod, Plane, rebuild
from pipeline.distillation.method import CellLabels, Maps, Output, Scalar, TeacherMaps, at_least_float32
from pipeline.distillation.mgd import squared_distance, uniforms_like
from pipeline.errors import ParamsError
from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, section

Rows = Float[Tensor, "patches rows c"]

VALUES_AT_ONCE = 2**28  # differences that the gradient of an L1 distance keeps on a GPU: 1 GiB in float32


class AfDCD(GenerativeMethod):
    """Rebuild the teacher's feature map as MGD does, and contrast its groups of channels within small patches.

    Each group of channels of a rebuilt cell must be closer to its counterpart in the teacher than to any other group of
    any cell of the patch. The authors combine it with pixel-wise distillation: method `kd`, weight 1, temperature 1.

    Raises ParamsError if the groups do not divide the teacher's channels, or if a pooled map is smaller than a patch.
    """

    @section
    class Params:
        """Defaults are the authors' for Cityscapes and ResNet-18 students; the run's weight is 1."""

        feature_weight: NonNegative = 2e-6  # weight of the squares, summed over channels and cells (2048 x 64 x 128);
        # scale it for other maps; 8e-6 on CamVid, 1e-6 on VOC
        contrast_weight: NonNegative = 0.005  # weight of the contrast, averaged over cells, summed over groups;
        # 0.01 on CamVid
        temperature: Positive = 0.07  # temperature of the L1 distances, which grow with the channels of a group
        groups: Annotated[int, Field(ge=2)] = 16  # number of groups; must divide the number of the teacher's channels
        patch: Count = 4  # cells; side of a patch, within which groups are contrasted
        pool: Index = 4  # cells; side of regions that are max-pooled before the contrast; 0: none, as on CamVid
        hidden_share: Fraction = 0.75  # mean share of the cells that are masked out
        enhanced: bool = True  # rebuild with four convolutions, not two; False in the authors' other scripts

    params: Params

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        wide = teacher.backbone_channels
        if wide % params.groups:
            raise ParamsError(
                f"methods.afdcd.groups: {params.groups} groups do not divide the {wide} channels of the teacher's "
                f"features; set a divisor of {wide}"
            )
        super().__init__(params, student, teacher, iterations)
        self.deeper: nn.Conv2d | None = None
        if params.enhanced:
            self.generator[2] = _conv3x3(wide, 2 * wide)  # the two convolutions that see the first hidden map
            self.deeper = _conv3x3(wide, wide)

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        uniform = uniforms_like(student.backbone_features)
        feature, contrast = self.terms(student.backbone_features, teacher.backbone_features, uniform)
        return self.params.feature_weight * feature + self.params.contrast_weight * contrast

    def terms(self, student: Maps, teacher: TeacherMaps, uniform: Plane) -> tuple[Scalar, Scalar]:
        """Return both terms for given draws from [0, 1), without their weights."""
        p = self.params
        self._check_size(*student.shape[-2:])
        kept = (uniform <= 1 - p.hidden_share).to(student.dtype)
        rebuilt = self.rebuild(student, kept)
        ours, theirs = (F.max_pool2d(maps, p.pool) if p.pool else maps for maps in (rebuilt, teacher))
        contrast = group_contrast(ours, theirs, p.groups, p.patch, p.temperature)
        return squared_distance(rebuilt, teacher), contrast

    def rebuild(self, student: Maps, kept: Plane) -> TeacherMaps:
        """Return the generator's map; if enhanced, the mean of the maps after one and after two hidden maps."""
        rebuilt = rebuild(self.align, self.generator, student, kept, torch.zeros_like(kept))
        if self.deeper is None:
            return rebuilt
        second, shallow = rebuilt.chunk(2, dim=1)
        return (shallow + self.deeper(second.relu())) / 2

    def _check_size(self, height: int, width: int) -> None:
        pool, patch = max(1, self.params.pool), self.params.patch
        if min(height, width) < pool * patch:
            raise ParamsError(
                f"methods.afdcd: the crop's features have {height} x {width} cells, but a patch needs {pool * patch} x "
                f"{pool * patch}; set methods.afdcd.pool to 0, or make methods.afdcd.patch smaller or the crop larger"
            )


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


@at_least_float32
def group_contrast(student: TeacherMaps, teacher: TeacherMaps, groups: int, patch: int, temperature: float) -> Scalar:
    """Return the cross-entropy of finding each vector's counterpart by L1 distance.

    It is summed over groups and averaged over cells. A vector is one group of channels of one cell. It is compared with
    its counterpart in the teacher, and with all of the teacher's vectors of other groups in the same patch. Vectors of
    its own group in other cells are left out, and so are cells beyond the last whole patch.
    """
    ours, theirs = (patch_vectors(maps, groups, patch) for maps in (student, teacher))
    rows, channels = ours.shape[1:]
    number = torch.arange(rows, device=ours.device)
    left_out = (number[:, None] % groups == number % groups) & (number[:, None] != number)
    some = max(1, VALUES_AT_ONCE // (rows * rows * channels))
    total = ours.new_zeros(())
    for a, b in zip(ours.split(some), theirs.split(some), strict=True):
        similarity = torch.cdist(a, b, p=1) / -temperature
        found = similarity.diagonal(dim1=1, dim2=2)
        total = total + (similarity.masked_fill(left_out, -torch.inf).logsumexp(dim=2) - found).sum()
    return total * groups / (len(ours) * rows)


def patch_vectors(maps: Maps, groups: int, patch: int) -> Rows:
    """Cut maps into patches and their channels into groups: a row for each cell of a patch and each group."""
    height, width = (side - side % patch for side in maps.shape[-2:])
    whole = maps[..., :height, :width]
    parts = whole.unflatten(3, (-1, patch)).unflatten(2, (-1, patch)).unflatten(1, (groups, -1))  # n g c y p x p
    return parts.permute(0, 3, 5, 4, 6, 1, 2).flatten(3, 5).flatten(0, 2)
