"""Networks: a timm backbone and a head on its feature maps.

Each table maps a name to the object that builds it. The first entry of BACKBONES whose pattern matches the name of a
backbone builds it.
"""

HEADS = {
    "pspnet": "models.pspnet:PSPHead",
    "deeplabv3": "models.deeplabv3:ASPPHead",
    "ladder": "models.ladder:LadderHead",
    "segformer": "models.segformer:AllMLPHead",
}
BACKBONES = {
    "resnet18_v1c": "models.resnet:resnet18_v1c",
    "resnet18_v1b": "models.resnet:resnet18_v1b",
    "vit_*": "models.vit:vit",
    "deit*": "models.vit:vit",
    "eva*": "models.vit:vit",
    "*": "models.timm_backbone:timm_cnn",
}
