"""How a student learns from a teacher: one file for each method, one table of them."""

from collections.abc import Callable

from torch import nn

from models.segmenter import Segmenter
from pipeline.distillation.adakd import AdaptivelyWeighted
from pipeline.distillation.at import AttentionTransfer
from pipeline.distillation.bckd import BinaryScores
from pipeline.distillation.cauchy_schwarz import CauchySchwarz
from pipeline.distillation.cirkd import PixelToMemory, PixelToPixel
from pipeline.distillation.cwd import ChannelWise, ChannelWiseFeatures
from pipeline.distillation.diffkd import DiffusedFeatures, DiffusedLogits
from pipeline.distillation.dist import CorrelationOfScores
from pipeline.distillation.fakd import AugmentedFeatures
from pipeline.distillation.ferkd import TrustedCells
from pipeline.distillation.fitnet import Hint
from pipeline.distillation.gdd import GenerativeDenoise
from pipeline.distillation.ifvd import IntraClassVariation
from pipeline.distillation.kd import PixelWise
from pipeline.distillation.mgd import MaskedGenerative
from pipeline.distillation.nfd import NormalizedFeatures
from pipeline.distillation.pkd import PearsonFeatures
from pipeline.distillation.skd import PairWise, SoftLabels
from pipeline.params.methods import MethodsParams

METHODS: dict[str, Callable[[MethodsParams, Segmenter, Segmenter], nn.Module]] = {
    # on the backbone's features
    "gdd": lambda p, s, t: GenerativeDenoise(
        s.backbone_channels, t.backbone_channels, p.gdd.temperature, p.gdd.noise_std
    ),
    "mgd": lambda p, s, t: MaskedGenerative(s.backbone_channels, t.backbone_channels, p.mgd.hidden_share),
    "nfd": lambda p, s, t: NormalizedFeatures(s.backbone_channels, t.backbone_channels),
    "pkd": lambda p, s, t: PearsonFeatures(s.backbone_channels, t.backbone_channels),
    "diffkd": lambda p, s, t: DiffusedFeatures(
        s.backbone_channels, t.backbone_channels, p.diffkd.latent_channels, p.diffkd.reduction
    ),
    # on the head's features
    "at": lambda p, s, t: AttentionTransfer(),
    "fitnet": lambda p, s, t: Hint(s.head_channels, t.head_channels),
    "cwd_features": lambda p, s, t: ChannelWiseFeatures(s.head_channels, t.head_channels, p.cwd_features.temperature),
    "skd_pair": lambda p, s, t: PairWise(p.skd_pair.pool),
    "ifvd": lambda p, s, t: IntraClassVariation(s.classes),
    "cirkd_minibatch": lambda p, s, t: PixelToPixel(p.cirkd_minibatch.temperature, p.cirkd_minibatch.group),
    "cirkd_memory": lambda p, s, t: PixelToMemory(s.head_channels, t.head_channels, s.classes, **vars(p.cirkd_memory)),
    "fakd": lambda p, s, t: AugmentedFeatures(s.classifier, s.classes, s.head_channels, **vars(p.fakd)),
    # on the logits
    "kd": lambda p, s, t: PixelWise(p.kd.temperature),
    "ferkd": lambda p, s, t: TrustedCells(**vars(p.ferkd)),
    "adakd": lambda p, s, t: AdaptivelyWeighted(**vars(p.adakd)),
    "cwd": lambda p, s, t: ChannelWise(p.cwd.temperature),
    "skd_pixel": lambda p, s, t: SoftLabels(),
    "cauchy_schwarz": lambda p, s, t: CauchySchwarz(p.cauchy_schwarz.over),
    "bckd": lambda p, s, t: BinaryScores(p.bckd.focus, p.bckd.centered),
    "dist": lambda p, s, t: CorrelationOfScores(**vars(p.dist)),
    "diffkd_logits": lambda p, s, t: DiffusedLogits(
        s.classes, p.diffkd_logits.reduction, p.diffkd_logits.auxiliary_weight
    ),
}
"""From a name in `params.yaml: runs` to a module that compares: (student output, teacher output, labels) -> loss.

Where the teacher's maps have another size they come resized to the student's.
"""
