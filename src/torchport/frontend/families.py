"""What a file of weights is, told by the names in it: for whoever gives it as if it were a model (build half)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import BadInput
from .checkpoint import Checkpoint, clean
from .matching import LEVELS, listed, spell

if TYPE_CHECKING:
    import torch

SHOWN_ENTRIES, SHOWN_NAMES = 6, 3

OF_OPTIMIZERS = frozenset(
    (
        "step",
        "exp_avg",
        "exp_avg_sq",
        "max_exp_avg_sq",
        "momentum_buffer",
        "square_avg",
        "grad_avg",
        "acc_delta",
        "prev",
        "step_size",
        "exp_inf",
        "mu_product",
    )
)
"""Names that optimizers have for what they keep of a parameter."""

Shapes = Mapping[str, "torch.Size"]


@dataclass(frozen=True)
class Family:
    """Models that are known by the names of their tensors.

    Attributes:
        words: what they are.
        needs: patterns, each of which some name has to match whole.
        source: what builds such a model, from the shapes; None where it cannot be told.
    """

    words: str
    needs: Sequence[str]
    source: Callable[[Shapes], str] | None = None


def _resnet(shapes: Shapes) -> str:
    blocks = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")}) for stage in range(1, 5)
    )
    deep = "layer1.0.conv3.weight" in shapes
    known = {
        (2, 2, 2, 2): "resnet18",
        (3, 4, 6, 3): "resnet50" if deep else "resnet34",
        (3, 4, 23, 3): "resnet101",
        (3, 8, 36, 3): "resnet152",
    }
    name = next((name for counts, name in known.items() if counts == blocks), "resnet18")
    return f"torchvision.models:{name} --arg num_classes={shapes['fc.weight'][0]}"


FAMILIES = (
    Family(
        "a ResNet of torchvision",
        (r"conv1\.weight", r"layer1\.0\.conv1\.weight", r"layer4\.0\.conv1\.weight", r"fc\.weight"),
        _resnet,
    ),
    Family(
        "a MobileNetV2 of torchvision",
        (r"features\.1\.conv\.0\.0\.weight", r"features\.18\.0\.weight"),
        lambda s: f"torchvision.models:mobilenet_v2 --arg num_classes={s['classifier.1.weight'][0]}",
    ),
    Family("an EfficientNet of torchvision", (r"features\.1\.0\.block\.0\.0\.weight", r"classifier\.1\.weight"), None),
    Family("a VGG or AlexNet of torchvision", (r"features\.0\.weight", r"classifier\.6\.weight"), None),
    Family("a DenseNet of torchvision", (r"features\.denseblock1\..*", r"classifier\.weight"), None),
    Family("a vision transformer of timm", (r"cls_token", r"pos_embed", r"blocks\.0\.attn\.qkv\.weight")),
    Family("a Swin transformer of timm", (r"layers\.0\.blocks\.0\.attn\.relative_position_bias_table",)),
    Family("a ConvNeXt of timm", (r"stages\.0\.blocks\.0\.(conv_dw|gamma).*",)),
    Family("an EfficientNet or MobileNet of timm", (r"conv_stem\.weight", r"blocks\.0\.0\..*")),
    Family("a YOLO of ultralytics", (r"(model\.)?0\.conv\.weight", r"(model\.)?\d+\.cv2\.conv\.weight")),
    Family(
        "a model of Hugging Face: its folder, with config.json, is a source by itself",
        (r"((bert|roberta|distilbert|electra|deberta|albert)\.)?embeddings\.word_embeddings\.weight",),
    ),
    Family(
        "a GPT-2 of Hugging Face: its folder, with config.json, is a source by itself",
        (r"(transformer\.)?h\.0\.attn\.c_attn\.weight",),
    ),
    Family(
        "a Llama-like model of Hugging Face: its folder, with config.json, is a source by itself",
        (r"(model\.)?layers\.0\.self_attn\.q_proj\.weight",),
    ),
    Family(
        "a Whisper of Hugging Face: its folder, with config.json, is a source by itself",
        (r"(model\.)?encoder\.conv1\.weight", r"(model\.)?decoder\.layers\.0\.encoder_attn\..*"),
    ),
    Family(
        "an ESRGAN of BasicSR", (r"(conv_first|model\.0)\.weight", r"(body|RRDB_trunk)\.0\.(rdb1|RDB1)\.conv1\.weight")
    ),
    Family("a HiFi-GAN vocoder", (r"conv_pre\..*", r"ups\.0\..*", r"resblocks\.0\..*")),
    Family("a recurrent network", (r"(.*\.)?weight_ih_l0", r"(.*\.)?weight_hh_l0")),
)


def weights_as_source(name: str, checkpoint: Checkpoint) -> BadInput:
    """The answer to `torchport deploy best.pth`: what the file holds, and what to type."""
    entries = {holder: names for holder, names in checkpoint.entries().items() if not set(names) <= OF_OPTIMIZERS}
    likely = max(entries, key=lambda holder: ("ema" in holder, len(entries[holder])), default="")
    family, source = guess(
        {
            path[len(likely) :].lstrip("."): tensor.shape
            for path, tensor in checkpoint.tensors.items()
            if checkpoint.holders[path] == likely
        }
    )
    rows = [_row(holder, names, checkpoint) for holder, names in list(entries.items())[:SHOWN_ENTRIES]]
    rows += [f"... and {len(entries) - SHOWN_ENTRIES} more"] if len(entries) > SHOWN_ENTRIES else []
    others = [
        key
        for key in checkpoint.keys
        if key not in entries
        and not any(holder.startswith(f"{key}.") for holder in entries)
        and key not in checkpoint.tensors
    ]
    rows += [f"beside them: {listed(others)}"] if others else []
    rows += [f"objects that are never run: {listed(checkpoint.objects)}"] if checkpoint.objects else []
    rows += [f"by its names: {family}"] if family else []
    sets = f"#{clean(likely)}" if len(entries) > 1 and likely else ""
    command = (
        f"torchport deploy {source or 'file.py:Name'} --weights '{name}{sets}'"
        if sets or " " in name
        else f"torchport deploy {source or 'file.py:Name'} --weights {name}"
    )
    return BadInput(
        f"'{clean(name)}' is weights; they do not say how the model computes",
        f"name the Python that builds the model: {command}",
        rows,
    )


def guess(shapes: Shapes) -> tuple[str, str]:
    """What family of models names and shapes belong to, and the source that builds it; each empty where it cannot be
    told.
    """
    plain = {spell(name, LEVELS[0]): shape for name, shape in shapes.items()}
    first = {name.partition(".")[0] for name in plain}
    inner = {name.partition(".")[2]: shape for name, shape in plain.items()} if len(first) == 1 else {}
    for names in (plain, inner):
        for family in FAMILIES:
            if all(any(re.fullmatch(pattern, name) for name in names) for pattern in family.needs):
                try:
                    return family.words, family.source(names) if family.source else ""
                except (KeyError, IndexError):
                    return family.words, ""
    return "", ""


def _row(holder: str, names: Sequence[str], checkpoint: Checkpoint) -> str:
    tensors = [checkpoint.tensors[f"{holder}.{name}" if holder else name] for name in names]
    kinds = (
        ", ".join(
            dict.fromkeys(str(tensor.dtype).removeprefix("torch.") for tensor in tensors if tensor.is_floating_point())
        )
        or "no floats"
    )
    count = sum(tensor.numel() for tensor in tensors)
    return (
        f"{f'{clean(holder)}: ' if holder else ''}{len(names)} tensors, {count:,} numbers of {kinds}: "
        f"{listed(names, SHOWN_NAMES)}"
    )
