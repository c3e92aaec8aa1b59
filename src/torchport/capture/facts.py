"""Task facts that travel with a model, in torchport's names: timm's configurations, Hugging Face's JSON files.

Only what is stated there becomes a fact; what is not, the task assumes and says so. A rule that torchport's facts cannot
express (a crop that is no square, another interpolation) is left out for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
    if config.get("do_normalize", True) and config.get("image_mean") and config.get("image_std"):
        facts |= {"mean": _numbers(config["image_mean"]), "std": _numbers(config["image_std"])}
    elif config.get("do_normalize") is False:
        facts |= {"mean": [0.0], "std": [1.0]}
    if config.get("do_rescale") is False:
        facts["scale"] = 255
    elif math.isclose(config.get("rescale_factor") or 1 / 255, 1 / 255, rel_tol=1e-3) and "mean" in facts:
        facts["scale"] = 1
    return facts


def from_labels(config: Mapping[str, Any]) -> Facts:
    """The class names of a Hugging Face `config.json`, where somebody gave them."""
    names = config.get("id2label") or {}
    ordered = [names[key] for key in sorted(names, key=int)]
    return {"labels": ordered} if ordered and ordered != [f"LABEL_{i}" for i in range(len(ordered))] else {}


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
    if "crop_pct" in config:  # ConvNeXt: small pictures are cropped, from 384 on they are stretched
        return {"resize": int(side / (config["crop_pct"] or 0.875)), "crop": side} if side < 384 else {"resize": [side, side], "crop": None}
    if cropped:
        return {"resize": side, "crop": crop}
    return {} if isinstance(size, Mapping) else {"resize": [side, side], "crop": None}


def _square(size: Any) -> int | None:
    if isinstance(size, Mapping):
        return size["height"] if size.get("height") == size.get("width") and isinstance(size.get("height"), int) else None
    return size if isinstance(size, int) else None


def _numbers(value: Any) -> list[float]:
    return [float(v) for v in value] if isinstance(value, list) else [float(value)]
