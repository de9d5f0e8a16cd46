"""Plain vision transformers of timm (ViT, DINOv2, DINOv3) as backbones; the stride of all maps is the patch size."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from models.backbone import Backbone, FeatureMap
from models.errors import ModelError
from models.timm_backbone import timm, timm_network

PatchEmbed = timm.layers.patch_embed.PatchEmbed
PLAIN = (timm.models.VisionTransformer, timm.models.Eva)

MAPS = 4


class ViT(Backbone):
    """Backbone with four maps from evenly spaced blocks, each normalized by the last LayerNorm (as DINOv2 does)."""

    def feature_maps(self, image: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        network: Any = self.network
        depth = len(network.blocks)
        taken = [depth * number // MAPS - 1 for number in range(1, MAPS + 1)]
        return network.forward_intermediates(image, taken, norm=True, intermediates_only=True)


def vit(name: str, output_stride: int, pretrained: bool) -> ViT:
    """Build a plain ViT that takes images of any size.

    Raises ModelError as `timm_network` does, and for other networks, such as a ViT with convolutions before it.
    """
    network = timm_network(name, pretrained, num_classes=0, dynamic_img_size=True)
    if not isinstance(network, PLAIN) or type(network.patch_embed) is not PatchEmbed:
        raise ModelError(f"{name!r} is not a plain ViT; use vit_small_patch16_dinov3, vit_small_patch14_dinov2, ...")
    network.prune_intermediate_layers(len(network.blocks), prune_norm=False, prune_head=True)
    if network.pos_embed is not None:
        network.pos_embed.requires_grad_(False)  # on a GPU, the gradient of its resampling differs between runs
    patch = int(network.patch_embed.patch_size[0])
    return ViT(network, [FeatureMap(network.embed_dim, patch)] * MAPS, patch)
