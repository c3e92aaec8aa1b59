"""Networks of pictures: classification by every family, segmentation, detection, pose, video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from architecture import BATCHES, Architecture, any_picture, areas, borrow, picture
from torch import nn


def timm(name: str, **options: Any) -> nn.Module:
    """A network of timm, without weights."""
    borrow()
    import timm

    return timm.create_model(name, num_classes=20, **options)  # type: ignore[no-any-return]


def cv(name: str, **options: Any) -> nn.Module:
    """A network of pytorchcv, without weights."""
    borrow()
    from pytorchcv.model_provider import get_model

    return get_model(name, **options)  # type: ignore[no-any-return]


def vision(name: str, **options: Any) -> nn.Module:
    """A network of torchvision, without weights."""
    borrow()
    import torchvision

    return torchvision.models.get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def segmenter(name: str) -> nn.Module:
    """A decoder of segmentation_models_pytorch on a small encoder."""
    borrow()
    import segmentation_models_pytorch as smp

    return getattr(smp, name)("mobilenet_v2", encoder_weights=None, classes=4)  # type: ignore[no-any-return]


class First(nn.Module):
    """The first output of a network that answers with several, for training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)[0]  # type: ignore[no-any-return]


def _first(name: str, **options: Any) -> nn.Module:
    network = cv(name, **options)
    return First(network) if getattr(network, "aux", False) else network


def _swin() -> nn.Module:
    borrow()
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

    return SwinTransformer(
        [4, 4],
        32,
        [1, 2],
        [2, 4],
        [4, 4],
        num_classes=20,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )


def _classifier(family: str, make: Callable[[], nn.Module], side: int) -> Architecture:
    return Architecture(family, make, picture(side), BATCHES)


# name -> side of the picture, or (side, options)
TIMM: Mapping[str, Any] = {
    "test_byobnet": 64,
    "test_convnext": 64,
    "test_efficientnet_gn": 64,
    "test_mambaout": 64,
    "test_nfnet": 64,
    "test_resnet": 64,
    "test_vit": (64, {"img_size": 64}),
    "beit_base_patch16_224": (64, {"img_size": 64, "depth": 2}),
    "cait_xxs24_224": (64, {"img_size": 64, "depth": 2}),
    "coat_lite_tiny": (64, {"img_size": 64}),
    "convit_tiny": (64, {"img_size": 64, "depth": 4}),
    "convmixer_768_32": 64,
    "crossvit_9_240": 240,
    "davit_tiny": (64, {"depths": (1, 1, 1, 1)}),
    "edgenext_xx_small": 64,
    "efficientformer_l1": 224,
    "efficientvit_b0": 64,
    "efficientvit_m0": 224,
    "fastvit_t8": 64,
    "focalnet_tiny_srf": 64,
    "gcvit_xxtiny": 224,
    "ghostnetv2_100": 64,
    "hgnetv2_b0": 64,
    "lcnet_050": 64,
    "levit_128s": 224,
    "mixer_s32_224": (64, {"img_size": 64}),
    "mobilevit_xxs": 64,
    "mvitv2_tiny": (64, {"img_size": 64}),
    "pit_ti_224": 224,
    "poolformer_s12": 64,
    "pvt_v2_b0": 64,
    "repvit_m0_9": 64,
    "res2net50_26w_4s": 64,
    "resnest14d": 64,
    "rexnet_100": 64,
    "sequencer2d_s": (64, {"img_size": 64, "layers": (1, 1, 1, 1)}),
    "skresnet18": 64,
    "swin_s3_tiny_224": (64, {"img_size": 64, "window_size": 2, "depths": (1, 1, 2, 1)}),
    "swinv2_cr_tiny_224": (64, {"img_size": 64, "window_size": 2, "depths": (1, 1, 2, 1)}),
    "tnt_s_legacy_patch16_224": (64, {"img_size": 64, "depth": 2}),
    "twins_pcpvt_small": (64, {"depths": (1, 1, 1, 1)}),
    "vit_relpos_small_patch16_224": (64, {"img_size": 64, "depth": 2}),
    "volo_d1_224": (64, {"img_size": 64}),
    "xcit_nano_12_p16_224": (64, {"img_size": 64, "depth": 3}),
}

CV = (
    "bam_resnet18",
    "cbam_resnet18",
    "darknet_tiny",
    "densenet121",
    "diracnet18v2",
    "dla34",
    "efficientnet_b0b",
    "fbnet_cb",
    "hardnet39ds",
    "hrnet_w18_small_v1",
    "igcv3_wd4",
    "menet108_8x1_g3",
    "mixnet_s",
    "mobilenet_wd4",
    "mobilenetv2_wd4",
    "mobilenetv3_small_w7d20",
    "peleenet",
    "preresnet10",
    "proxylessnas_cpu",
    "regnetx002",
    "resnext14_16x4d",
    "seresnet10",
    "shufflenet_g3_wd4",
    "shufflenetv2_wd2",
    "spnasnet",
    "sqnxt23_w1",
    "squeezenet_v1_1",
    "vovnet27s",
)
"""Their last pooling is made for pictures of 224."""

SEGMENTERS = ("FPN", "Linknet", "MAnet", "PSPNet", "Unet", "UnetPlusPlus")
SEGMENTING = ("cgnet_cityscapes", "dabnet_cityscapes", "fastscnn_cityscapes", "lednet_cityscapes")


def _timm() -> Mapping[str, Architecture]:
    found = {}
    for name, given in TIMM.items():
        side, options = given if isinstance(given, tuple) else (given, {})
        found[f"timm_{name}"] = _classifier("classification", partial(timm, name, **options), side)
    return found


PICTURES: Mapping[str, Architecture] = {
    **_timm(),
    **{f"cv_{name}": _classifier("classification", partial(cv, name), 224) for name in CV},
    "vision_googlenet": _classifier("classification", partial(vision, "googlenet", init_weights=False), 64),
    "vision_swin_v2": _classifier("classification", _swin, 64),
    "vision_mc3_18": Architecture("video", partial(vision, "mc3_18"), ("x:float32[batch,3,4,32,32]",), BATCHES),
    "vision_lraspp": Architecture(
        "segmentation",
        partial(vision, "lraspp_mobilenet_v3_large", weights_backbone=None),
        any_picture(name="input"),
        areas(),
    ),
    **{
        f"smp_{name.lower()}": Architecture("segmentation", partial(segmenter, name), any_picture(), areas())
        for name in SEGMENTERS
    },
    **{
        f"cv_{name}": Architecture("segmentation", partial(_first, name, in_size=(64, 64)), picture(64), BATCHES)
        for name in SEGMENTING
    },
    "cv_centernet": Architecture(
        "detection", partial(cv, "centernet_resnet18_voc", in_size=(64, 64)), picture(64), BATCHES
    ),
    "cv_openpose": Architecture(
        "pose", partial(cv, "lwopenpose2d_mobilenet_cmupan_coco", in_size=(64, 64)), picture(64), BATCHES
    ),
}
