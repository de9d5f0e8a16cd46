"""One section for each distillation method."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.sections import Count, Fraction, Index, NonNegative, Positive, section


@section
class NothingToSet:
    """Section of a method that has no parameters."""


@section
class GDDParams:
    temperature: Positive
    noise_std: NonNegative  # in units of the aligned student features


@section
class MGDParams:
    hidden_share: Fraction  # of the cells


@section
class TemperatureParams:
    temperature: Positive


@section
class SKDPairParams:
    pool: Count  # cells, side of a region


@section
class PixelToPixelParams:
    temperature: Positive
    group: Annotated[int, Field(ge=2)]  # images compared with each other


@section
class PixelToMemoryParams:
    temperature: Positive
    region_share: NonNegative  # weight of the regions' term, the cells' being 1
    pixel_memory: Count  # directions kept of each class
    region_memory: Count
    pixel_contrast: Count  # of them, compared with in one iteration
    region_contrast: Count
    cells_per_class: Count  # kept of one class in one image
    as_released: bool  # the authors' code keeps cells of any class

    @model_validator(mode="after")
    def _fits_the_memory(self) -> "PixelToMemoryParams":
        for name, length in (("pixel_memory", self.cells_per_class), ("pixel_memory", self.pixel_contrast),
                             ("region_memory", self.region_contrast)):  # fmt: skip
            if getattr(self, name) < length:
                raise ValueError(
                    f"{name} {getattr(self, name)} is shorter than what is put in or drawn at once, {length}"
                )
        return self


@section
class DISTParams:
    inter_class: NonNegative
    intra_class: NonNegative
    auxiliary_weight: NonNegative


@section
class DiffKDParams:
    latent_channels: Index  # of the autoencoder; 0 for none
    reduction: Count  # of the denoiser's bottlenecks


@section
class DiffKDLogitsParams:
    reduction: Count
    auxiliary_weight: NonNegative


@section
class CauchySchwarzParams:
    over: Literal["classes", "space"]


@section
class FAKDParams:
    strength: NonNegative  # of the covariance at the end of the ramp
    ramp_iterations: Count


@section
class BCKDParams:
    focus: NonNegative
    centered: bool


@section
class FerKDParams:
    unsure_below: Fraction  # largest probability of the teacher
    sure_above: Fraction
    smoothing: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> "FerKDParams":
        if self.unsure_below > self.sure_above:
            raise ValueError(f"unsure_below {self.unsure_below} is larger than sure_above {self.sure_above}")
        return self


@section
class AdaKDParams:
    contrast: NonNegative  # per nat of the teacher's loss, at the beginning
    ramp_iterations: Count


@section
class MethodsParams:
    """One section for each method of `pipeline.distillation.METHODS`."""

    gdd: GDDParams
    mgd: MGDParams
    cwd: TemperatureParams
    cwd_features: TemperatureParams
    kd: TemperatureParams
    at: NothingToSet
    fitnet: NothingToSet
    nfd: NothingToSet
    pkd: NothingToSet
    skd_pixel: NothingToSet
    skd_pair: SKDPairParams
    ifvd: NothingToSet
    cirkd_minibatch: PixelToPixelParams
    cirkd_memory: PixelToMemoryParams
    dist: DISTParams
    diffkd: DiffKDParams
    diffkd_logits: DiffKDLogitsParams
    cauchy_schwarz: CauchySchwarzParams
    fakd: FAKDParams
    bckd: BCKDParams
    ferkd: FerKDParams
    adakd: AdaKDParams
