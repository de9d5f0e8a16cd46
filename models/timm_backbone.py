"""Build timm's networks as backbones and load weight files into them. No other module imports timm."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from models.backbone import ADVICE, Backbone, FeatureMap, read_weights
from models.errors import ModelError
from models.meta import without_memory
from models.without_compiler import without_compiler
from segdistill_runtime.errors import lacks_memory

with without_compiler():
    import timm


def timm_cnn(name: str, output_stride: int, pretrained: bool, **options: Any) -> Backbone:
    """Build any timm network that returns feature maps of several strides.

    Raises ModelError as `timm_network` does, and for a network whose maps or image sizes do not fit.

    Args:
        options: arguments of the network's constructor.
    """
    options |= {"features_only": True, "out_indices": (-4, -3, -2, -1)}
    asked = {} if output_stride == 32 else {"output_stride": output_stride}  # many networks have stride 32 only
    try:
        network = timm_network(name, pretrained, **options, **asked)
    except ModelError as error:
        if not asked or not isinstance(error.__cause__, TypeError):
            raise
        network = timm_network(name, pretrained, **options)  # it has one stride, and no such option
    info: Any = network.feature_info
    maps = [FeatureMap(*facts) for facts in zip(info.channels(), info.reduction(), strict=True)]
    if timm.models.is_model_in_modules(name, ["resnet"]):  # ResNets work on images of any size
        return Backbone(network, maps)
    expected = [(1, channels, 64 // stride, 96 // stride) for channels, stride in maps]
    failure = None
    for multiple in (1, maps[-1].stride):  # HRNet adds maps, whose sizes differ unless sides are multiples
        backbone = Backbone(network.eval(), maps, multiple)
        try:
            with torch.no_grad():
                shapes = [tuple(features.shape) for features in backbone(torch.zeros(1, 3, 64, 96))]
                backbone(torch.zeros(1, 3, *ANY_SIZE))
        except Exception as error:  # each network fails in its own way
            if lacks_memory(error):
                raise
            failure = error
            continue
        if shapes != expected:
            raise ModelError(f"backbone {name!r} returns maps of shapes {shapes}, not {expected}; {ADVICE}")
        return backbone.train()
    raise ModelError(f"backbone {name!r} does not work on images of every size; {ADVICE}") from failure


ANY_SIZE = (39, 553)  # pixels: not multiples of any stride, and wider than the images that most networks expect


def timm_network(name: str, pretrained: bool, **options: Any) -> nn.Module:
    """Build a timm network.

    Raises ModelError if the name is unknown, the network does not take the options, or its weights cannot be loaded.
    """
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]) or "resnet18, resnet50, resnet101"
        raise ModelError(f"timm has no backbone {name!r}; use another one, for example {near}")
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # timm checks little: each network fails in its own way
        if lacks_memory(error):
            raise
        if pretrained and isinstance(error, RuntimeError | OSError):
            raise ModelError(
                f"ImageNet weights of {name!r} could not be downloaded ({error}). Without internet access, set "
                f"weights.source to `file` (a safetensors file) or `none` (from scratch)"
            ) from error
        asked = f" at output stride {options['output_stride']}" if "output_stride" in options else ""
        raise ModelError(
            f"{name!r} does not return four feature maps{asked}, so it cannot be a backbone; {ADVICE}"
        ) from error


def load_backbone_weights(backbone: Backbone, path: Path) -> None:
    """Load a safetensors file with timm's names into a backbone; raises ModelError for the file of another network.

    The file may also hold the other parts of timm's network: a last norm, and a classifier of any number of classes.
    """
    weights, network = read_weights(path), cast("Any", backbone.network)  # any network of timm
    with without_memory():
        whole: Any = timm.create_model(network.pretrained_cfg["architecture"])
    names = {_plain(name): name for name in (*network.state_dict(), *whole.state_dict(), *weights)}
    given, own, known = (
        {_plain(name): tensor for name, tensor in state.items()}
        for state in (weights, network.state_dict(), whole.state_dict() | network.state_dict())
    )
    # BatchNorm's counters do not affect outputs, and files converted from other frameworks lack them.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    heads = whole.pretrained_cfg.get("classifier") or ()
    classifier = tuple(f"{_plain(head)}_" for head in ([heads] if isinstance(heads, str) else heads))
    compared = {name for name in given if name in own or not name.startswith(classifier)}
    found = {
        "missing": needed - given.keys(),
        "of another shape": {name for name in compared & known.keys() if given[name].shape != known[name].shape},
        "that the backbone does not have": compared - known.keys(),
    }
    if any(found.values()):
        counts = (
            f"{len(wrong)} tensors {what} ({', '.join(sorted(names[name] for name in wrong)[:3])})"
            for what, wrong in found.items() if wrong
        )  # fmt: skip
        raise ModelError(f"{path} does not fit the backbone: {', '.join(counts)}; use a file of this backbone")
    with torch.no_grad():
        for name in needed:
            own[name].copy_(given[name])


def _plain(name: str) -> str:
    """Return a tensor's name in one form for timm's networks and their feature extractors.

    stages.0.x, stages_0.x and model.stages.0.x become the same name.
    """
    return name.removeprefix("model.").replace(".", "_")
