"""Plain vision transformers as backbones: timm's numbers, images of any size, names that are refused, export."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from models.backbone import build_backbone
from models.build import build_segmenter
from models.errors import ModelError
from models.export_wrappers import LabelsGraph
from models.folding import fold_batchnorms
from models.resize import bilinear
from models.timm_backbone import load_backbone_weights
from pipeline.deploy.export import largest_logit_difference
from pipeline.deploy.onnx_export import export_graph, write_logits
from segdistill_runtime.runner import InputShape
from tests.raising import raises
from tests.toy import TOY_DESIGN, toy_pair

TINY = "vit_tiny_patch16_224"
DESIGN = replace(TOY_DESIGN, architecture="segformer", backbone=TINY, output_stride=16)


def test_its_maps_are_timms(tmp_path: Path) -> None:
    """A whole classifier of timm is written, its backbone read, and both see an image of the size it was made for."""
    torch.manual_seed(0)
    theirs = timm.create_model(TINY).eval()
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    ours = build_backbone(TINY, 16).eval()
    load_backbone_weights(ours, tmp_path / "vit.safetensors")
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = theirs.get_intermediate_layers(image, [2, 5, 8, 11], reshape=True, norm=True)
        for found, map_of_theirs, said in zip(ours(image), expected, ours.maps, strict=True):
            torch.testing.assert_close(found, map_of_theirs)
            assert said == (192, 16)
        last = theirs.forward_features(image)[:, 1:].transpose(1, 2).unflatten(2, (14, 14))
        torch.testing.assert_close(ours(image)[-1], last)


@pytest.mark.parametrize(
    ("name", "patch"), [(TINY, 16), ("vit_tiny_patch16_dinov3_qkvb", 16), ("vit_small_patch14_dinov2", 14)]
)
def test_an_image_of_any_size_is_resized_to_whole_patches(name: str, patch: int) -> None:
    backbone = build_backbone(name, patch).eval()
    image = torch.rand(1, 3, 3 * patch - 5, 5 * patch - 1)
    with torch.no_grad():
        maps, whole = backbone(image), backbone(bilinear(image, 3 * patch, 5 * patch))
    assert maps[-1].shape == (1, backbone.channels, 3, 5)
    assert all(torch.equal(a, b) for a, b in zip(maps, whole, strict=True))


@pytest.mark.parametrize(
    ("name", "stride", "named"),
    [
        (TINY, 32, ("stride 16", "output_stride: 16")),
        ("vit_small_r26_s32_224", 32, ("vit_small_patch16_dinov3",)),
        ("vit_relpos_small_patch16_224", 16, ("four feature", "vit_*", "output_stride")),
    ],
)
def test_what_is_no_plain_vit_is_refused(name: str, stride: int, named: tuple[str, ...]) -> None:
    with torch.device("meta"), raises(ModelError, repr(name), *named):
        build_backbone(name, stride)


def test_the_ladder_refuses_maps_of_one_stride() -> None:
    with torch.device("meta"), raises(ModelError, "head ladder", "16, 16]", "output_stride: 32"):
        build_segmenter(replace(DESIGN, architecture="ladder"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [TINY, "vit_tiny_patch16_dinov3_qkvb"])
def test_a_teacher_on_it_learns_folds_and_exports(name: str, tmp_path: Path) -> None:
    network = build_segmenter(replace(DESIGN, backbone=name))
    output = network.train()(torch.rand(2, 3, 48, 64))
    (output.logits.square().mean() + output.auxiliary_logits.square().mean()).backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still in (["backbone.network.pos_embed"], [])
    image = toy_pair(0)[0][None]
    export_graph(LabelsGraph(network.eval()), DESIGN, InputShape(1, 48, 64), 20, tmp_path / "model.onnx")
    write_logits(tmp_path / "model.onnx", tmp_path / "logits.onnx")
    assert largest_logit_difference(network, tmp_path / "logits.onnx", [image]) < 1e-4
    pixels = torch.from_numpy(image).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        before = network(pixels).logits
        torch.testing.assert_close(fold_batchnorms(network)(pixels).logits, before, atol=1e-5, rtol=1e-4)
