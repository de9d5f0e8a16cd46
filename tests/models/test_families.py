"""Every kind of network that timm has is a backbone for images of any size, or is refused in our words.

`make test` takes the families of which timm has a `test_*` network, `make test-all` those whose members were once met
as a traceback, here or below; `make test-faults` takes one small member of every family.
"""

from dataclasses import replace

import pytest
import timm
import torch

from models.build import build_segmenter
from models.errors import ModelError
from tests.toy import TOY_DESIGN

# The member with the fewest parameters of each module of timm.
SMALLEST = [
    "adv_inception_v3", "beit_base_patch16_224", "cait_xxs24_224", "coat_tiny", "convit_tiny", "convmixer_768_32",
    "cpubone_nano", "crossvit_tiny_240", "cs3darknet_focus_s", "csatv2", "cspnext_tiny", "davit_tiny",
    "deepseek_vit_412m", "deit_tiny_patch16_224", "densenet121", "dla46x_c", "dpn48b", "edgenext_xx_small",
    "efficientformer_l1", "efficientformerv2_s0", "efficientvim_m1", "efficientvit_b0", "efficientvit_m0",
    "ens_adv_inception_resnet_v2", "ese_vovnet19b_slim_dw", "fasternet_t0", "fastvit_t8", "focalnet_tiny_srf",
    "gcvit_xxtiny", "gemma4_vit_167m", "ghostnet_050", "gmlp_ti16_224", "halonet_h1", "hardcorenas_b",
    "hgnetv2_b0", "hiera_tiny_224", "hrnet_w18_small", "iformer_t", "inception_next_atto", "inception_v4",
    "jx_nest_tiny", "lcnetv2_small", "legacy_seresnet18", "legacy_xception", "levit_128s", "lowformer_b0",
    "mobilenetv3_small_050", "mobilenetv5_base", "mobilevit_xxs", "mvitv2_tiny",
    "naflexvit_base_patch16_parfac_gap", "nasnetalarge", "nextvit_small", "pit_ti_224", "pnasnet5large",
    "poolformerv2_s12", "pvt_v2_b0", "qwen3_vit_88m", "rdnet_tiny", "regnetx_002", "repghostnet_050", "repvit_m1",
    "res2next50", "resnest14d", "resnetv2_18", "rexnet_100", "sam2_hiera_tiny", "samvit_base_patch16_224",
    "selecsls42", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s050", "swiftformer_xs",
    "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "swinv2_tiny_window16_256", "test_byobnet",
    "test_coatnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_nfnet", "test_resnet",
    "test_vit", "test_vit_relpos", "tiny_vit_5m_224", "tnt_s_legacy_patch16_224", "tresnet_m", "twins_svt_small",
    "vgg11", "visformer_tiny", "vit_tiny_patch16_dinov3_qkvb", "vit_tiny_r_s16_p8_224", "vitamin_small_224",
    "volo_d1_224", "xception41p", "xcit_nano_12_p8_224",
]  # fmt: skip
MET = [
    "swin_tiny_patch4_window7_224",
    "beit_base_patch16_224",
    "densenet121",
    "vgg11",
    "fastvit_t8",
    "edgenext_xx_small",
]
DESIGN = replace(TOY_DESIGN, architecture="segformer")
STRIDES = (32, 16, 14, 8)
SIZES = ((33, 47), (72, 104), (200, 312))


def fit_or_refuse(name: str) -> list[int]:
    """Build, run and differentiate at every output stride; returns those that work. Only ModelError may come out."""
    working = []
    for stride in STRIDES:
        try:
            network = build_segmenter(replace(DESIGN, backbone=name, output_stride=stride))
        except ModelError:
            continue
        working.append(stride)
        for size in SIZES:
            with torch.no_grad():
                assert torch.isfinite(network.eval()(torch.rand(1, 3, *size)).logits).all()
        output = network.train()(torch.rand(2, 3, 72, 104))
        (output.logits.mean() + output.auxiliary_logits.mean()).backward()
    return working


@pytest.mark.parametrize(
    "name", [*timm.list_models("test_*"), *(pytest.param(name, marks=pytest.mark.slow) for name in MET)]
)
def test_a_family_works_or_is_refused(name: str) -> None:
    fit_or_refuse(name)


@pytest.mark.faults
@pytest.mark.parametrize("name", SMALLEST)
def test_every_family_works_or_is_refused(name: str) -> None:
    fit_or_refuse(name)


@pytest.mark.parametrize(
    ("name", "strides"),
    [("hrnet_w18_small", [32]), ("deit_tiny_patch16_224", [16]), ("eva02_tiny_patch14_224", [14]),
     ("mvitv2_tiny", []), ("resnet10t", [32, 16, 8])],
)  # fmt: skip
def test_the_strides_at_which_a_network_works(name: str, strides: list[int]) -> None:
    assert fit_or_refuse(name) == strides
