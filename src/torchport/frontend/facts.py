"""Task facts that travel with a model, in torchport's names: timm's configurations, Hugging Face's JSON files.

Only what is stated there becomes a fact; what is not, the task assumes and says so. A rule that torchport's facts
cannot express (a crop that is no square, another interpolation) is left out for the same reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..errors import CaptureError

Facts = dict[str, Any]

INTERPOLATION = {2: "bilinear", 3: "bicubic"}
"""Pillow's resampling codes, as Hugging Face writes them."""


def from_timm(config: Any) -> Facts:
    """Picture facts of a timm `pretrained_cfg` or `default_cfg` (a dict or an object with the same fields)."""
    known = config if isinstance(config, Mapping) else vars(config)
    facts: Facts = {name: list(known[name]) for name in ("mean", "std") if known.get(name)}
    if known.get("interpolation") in INTERPOLATION.values():
        facts["interpolation"] = known["interpolation"]
    size = known.get("input_size")
    if size and size[1] == size[2]:
        side = math.floor(size[1] / (known.get("crop_pct") or 0.875))
        stretched = known.get("crop_mode") == "squash"
        facts |= {"resize": [side, side] if stretched else side, "crop": size[1]}
    if known.get("label_names"):
        facts["labels"] = list(known["label_names"])
    return facts


def from_preprocessor(config: Mapping[str, Any]) -> Facts:
    """Picture facts of a Hugging Face `preprocessor_config.json`."""
    facts: Facts = _size(config)
    if config.get("resample") in INTERPOLATION:
        facts["interpolation"] = INTERPOLATION[config["resample"]]
    if config.get("do_flip_channel_order"):
        facts["color"] = "BGR"
    return facts | _levels(config)


def _levels(config: Mapping[str, Any]) -> Facts:
    """Pixels p become (p * factor - offset - mean) / std: as one mean and deviation, of pixels in 0..1 where the factor
    is 1 / 255 and else of 0..255.
    """
    normalised = config.get("do_normalize", True)
    if normalised and not (config.get("image_mean") and config.get("image_std")):
        return {"scale": 255} if config.get("do_rescale") is False else {}
    mean, std = (_numbers(config["image_mean"]), _numbers(config["image_std"])) if normalised else ([0.0], [1.0])
    if config.get("include_top"):  # EfficientNet divides by the deviation once more
        std = [value * value for value in std]
    factor = 1.0 if config.get("do_rescale") is False else float(config.get("rescale_factor") or 1 / 255)
    offset = 1.0 if config.get("rescale_offset") else 0.0
    if math.isclose(factor, 1 / 255, rel_tol=1e-3) and not offset:
        return {"mean": mean, "std": std, "scale": 1}
    return {
        "mean": [(value + offset) / factor for value in mean],
        "std": [value / factor for value in std],
        "scale": 255,
    }


def from_head(config: Any) -> Facts:
    """What makes scores of a classifier's outputs, by its transformers configuration: as transformers' own pipelines do
    it.
    """
    problem, count = getattr(config, "problem_type", None), getattr(config, "num_labels", 0)
    if problem == "regression":
        return {"activation": "none"}
    if problem == "multi_label_classification" or count == 1:
        return {"activation": "sigmoid"}
    return {"activation": "softmax"}


def from_labels(config: Mapping[str, Any]) -> Facts:
    """The class names of a Hugging Face `config.json`, where somebody gave them."""
    names = config.get("id2label") or {}
    ordered = [names[key] for key in sorted(names, key=int)]
    return {"labels": ordered} if ordered and ordered != [f"LABEL_{i}" for i in range(len(ordered))] else {}


def from_text(
    config: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
    sentences: Mapping[str, Any],
    pooling: Mapping[str, Any],
    positions: int | None = None,
) -> Facts:
    """Text facts of a Hugging Face folder: lengths in tokens, where texts are cut off, padding, and `pooling` where
    sentence-transformers states it.

    Args:
        config: `config.json`.
        tokenizer: `tokenizer_config.json`, whose `model_max_length` is 1e30 where nobody gave one.
        sentences: `sentence_bert_config.json`.
        pooling: `1_Pooling/config.json`.
        positions: how many tokens the model has positions for, where that is known better than by `config`.

    Raises:
        CaptureError: a pooling that torchport does not have.
    """
    stated: tuple[Any, ...] = (sentences.get("max_seq_length"), tokenizer.get("model_max_length"))
    wished = [int(length) for length in stated if _is_length(length)][:1]
    most: Any = positions or config.get("max_position_embeddings")
    lengths = [*wished, *([int(most)] if _is_length(most) else [])]
    facts: Facts = {"max_length": min(lengths)} if lengths else {}
    if tokenizer.get("truncation_side") in ("left", "right"):
        facts["truncation_side"] = tokenizer["truncation_side"]
    if isinstance(config.get("pad_token_id"), int) and config["pad_token_id"] >= 0:
        facts["pad_id"] = config["pad_token_id"]
    chosen = [
        key.removeprefix("pooling_mode_")
        for key, value in pooling.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    if not chosen:
        return facts
    if len(chosen) > 1 or chosen[0] not in POOLING:
        raise CaptureError(
            f"1_Pooling/config.json pools by {' and '.join(chosen)}",
            f"torchport pools by one of {', '.join(POOLING.values())}",
        )
    return facts | {"pooling": POOLING[chosen[0]]}


POOLING = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
"""What sentence-transformers calls the ways of making one vector of a text."""


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 2 < value < 1e6


def from_speaker(config: Mapping[str, Any], tokenizer: Mapping[str, Any], symbols: Mapping[str, int]) -> Facts:
    """Speech facts of a Hugging Face folder whose tokenizer is a `VitsTokenizer`: its table of symbols, and how it
    makes symbols of a text.

    Args:
        config: `config.json`.
        tokenizer: `tokenizer_config.json`; what it leaves out has transformers' defaults.
        symbols: `vocab.json`.
    """
    blank = 0 if tokenizer.get("add_blank", True) else None
    facts: Facts = {
        "symbols": dict(symbols),
        "lowercase": bool(tokenizer.get("normalize", True)),
        "blank": blank,
        "before": [] if blank is None else [blank],
        "after": [],
    }
    spoken = bool(tokenizer.get("phonemize", True))
    facts |= (
        {"phonemiser": "espeak", "language": "en-us"}
        if spoken
        else {"phonemiser": "uroman" if tokenizer.get("is_uroman") else "none"}
    )
    facts |= {
        fact: float(config[key])
        for fact, key in (("noise_scale", "noise_scale"), ("noise_scale_duration", "noise_scale_duration"))
        if key in config
    }
    if config.get("speaking_rate"):
        facts["length_scale"] = 1 / float(config["speaking_rate"])
    return facts | ({"sample_rate": config["sampling_rate"]} if "sampling_rate" in config else {})


def from_recorder(config: Mapping[str, Any]) -> Facts:
    """Facts of recordings in a Hugging Face `preprocessor_config.json` of a feature extractor for speech."""
    names = {
        "sampling_rate": "sampling_rate",
        "feature_size": "bands",
        "n_fft": "frame",
        "hop_length": "hop",
        "do_normalize": "normalise",
    }
    return {fact: config[key] for key, fact in names.items() if config.get(key) is not None}


def not_heard(config: Mapping[str, Any], *, padded: bool) -> list[str]:
    """What a `preprocessor_config.json` of recordings asks for and torchport does not do, a sentence each.

    Each recording is answered by itself: of a model that takes any length nothing is padded, and neither the value of
    padding nor a mask of it changes an answer.

    Args:
        padded: whether recordings are made as long as each other, as a Whisper's are.
    """
    if "sampling_rate" not in config:  # it is of pictures
        return []
    plain = {"dither": 0.0, **({"padding_value": 0.0, "do_normalize": False} if padded else {})}
    strange = {name: config[name] for name, value in plain.items() if config.get(name) not in (None, value)}
    return [
        f"preprocessor_config.json sets {name}={json.dumps(value)}, which torchport does not follow"
        + (": a Whisper's recordings are heard as loud as they are" if name == "do_normalize" else "")
        for name, value in strange.items()
    ]


def _size(config: Mapping[str, Any]) -> Facts:
    if not config.get("do_resize", True):
        return {}
    size, crop = config.get("size"), _square(config.get("crop_size"))
    cropped = bool(config.get("do_center_crop")) and crop is not None
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return {"resize": [size["height"], size["width"]], "crop": crop if cropped else None}
    side = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if not isinstance(side, int):
        return {}
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    if kind.startswith("Levit"):
        side = int(256 / 224 * side)
    if kind.startswith("PoolFormer"):
        return {}
    if "crop_pct" in config:  # ConvNeXt: small pictures are cropped, from 384 on they are stretched
        return (
            {"resize": int(side / (config["crop_pct"] or 0.875)), "crop": side}
            if side < 384
            else {"resize": [side, side], "crop": None}
        )
    if cropped:
        return {"resize": side, "crop": crop}
    return {} if isinstance(size, Mapping) else {"resize": [side, side], "crop": None}


def _square(size: Any) -> int | None:
    if isinstance(size, Mapping):
        return (
            size["height"] if size.get("height") == size.get("width") and isinstance(size.get("height"), int) else None
        )
    return size if isinstance(size, int) else None


def _numbers(value: Any) -> list[float]:
    return [float(v) for v in value] if isinstance(value, list | tuple) else [float(value)]


NOT_FOLLOWED = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
    "do_sample": False,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "penalty_alpha": None,
    "typical_p": 1.0,
    "forced_eos_token_id": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": None,
}
"""Fields of a Hugging Face generation config that change what is said and that decoding here does not know -> their
value without effect.
"""


def not_followed(generation: Any) -> list[str]:
    """What a generation config asks for and decoding here does not do, a sentence each."""
    given = {name: getattr(generation, name, None) for name in NOT_FOLLOWED}
    strange = {name: value for name, value in given.items() if value is not None and value != NOT_FOLLOWED[name]}
    said = [
        f"the generation config sets {name}={value}, which torchport does not follow: transformers' generate may say "
        "otherwise"
        for name, value in strange.items()
    ]
    if any(len(words) > 1 for words in getattr(generation, "bad_words_ids", None) or ()):
        said.append(
            "the generation config forbids sequences of tokens (bad_words_ids), which torchport does not follow: only "
            "single tokens are"
        )
    return said
