"""The facts that fix how a picture becomes a model's input."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from msgspec import Meta
from msgspec.structs import replace

from ...errors import UsageError
from ..facts import Facts, Mark
from ..kinds import Count

GREATEST_SIDE = 4096
"""Bound of `resize` and `crop`: a mistyped size must not ask for gigabytes."""

Side = Annotated[int, Meta(ge=1, le=GREATEST_SIDE)]
Sides = Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)]
Mean = Annotated[
    tuple[float, ...],
    "Subtracted from the pixels: one number, or one a channel in the order of color; of pixels in "
    "0..1, or in 0..255 with scale=255.",
]
Std = Annotated[
    tuple[Annotated[float, Meta(gt=0)], ...],
    "Standard deviation that the pixels are then divided by: one number, or one a channel.",
]


class PixelFacts(Facts, frozen=True, kw_only=True):
    """How pixels are resampled and normalised, whatever the size they are brought to."""

    interpolation: Annotated[Literal["bilinear", "bicubic"], "Resampling filter: bilinear or bicubic."] = "bilinear"
    antialias: Annotated[
        bool, "Whether the filter widens as the picture shrinks, as in Pillow, or does not, as in OpenCV."
    ] = True
    mean: Mean = (0.0,)
    std: Std = (1.0,)
    scale: Annotated[
        Literal[1, 255], "Range of the pixels before the mean is subtracted: 1 (divided by 255) or 255 (as they are)."
    ] = 1
    color: Annotated[Literal["RGB", "BGR", "L"], "Order of the model's channels: RGB, BGR or L (greyscale)."] = "RGB"
    max_pixels: Annotated[
        Count,
        "A picture of more pixels is reduced by a whole factor before the in-graph preprocessing.",
        Mark.AT_PREDICT,
    ] = 2**21


class PictureFacts(PixelFacts, frozen=True, kw_only=True):
    """How a whole picture becomes the model's input."""

    resize: Annotated[Side | Sides, "Shortest side in pixels; or height,width in pixels, to stretch to."] = 256
    crop: Annotated[
        Side | None, "Side of the centre square that is kept, in pixels; none keeps all, after a stretch."
    ] = 224
    reducing_gap: Annotated[
        Annotated[float, Meta(ge=1)] | None, "Pillow's parameter of that name, usually 3.0; or none."
    ] = None
    mean: Mean = (0.485, 0.456, 0.406)
    std: Std = (0.229, 0.224, 0.225)


Pixels = TypeVar("Pixels", bound=PixelFacts)
Pictures = TypeVar("Pictures", bound=PictureFacts)


def channels(facts: PixelFacts) -> int:
    """How many channels the model's input has."""
    return 1 if facts.color == "L" else 3


def is_free(facts: PictureFacts) -> bool:
    """Whether the pictures keep their shape: the height is fixed, and nothing is cropped."""
    return facts.crop is None and isinstance(facts.resize, int)


def per_channel(facts: Pixels) -> Pixels:
    """The facts with a mean and a deviation for each channel; raises UsageError where they are of another number."""
    count = channels(facts)
    for name, numbers in (("mean", facts.mean), ("std", facts.std)):
        if len(numbers) not in (1, count):
            raise UsageError(
                f"{name} has {len(numbers)} numbers, color {facts.color} has {count}",
                "give one number for all channels, or one a channel",
            )
    mean, std = (numbers * (count // len(numbers)) for numbers in (facts.mean, facts.std))
    return replace(facts, mean=mean, std=std)


def check(facts: Pictures, *, free: bool = False) -> Pictures:
    """The facts with a mean and a deviation for each channel; checking twice changes nothing.

    Args:
        free: whether the model may take pictures of any width; see `is_free`.

    Raises:
        UsageError: two values that exclude each other; the hint says what would be right.
    """
    resize, crop = facts.resize, facts.crop
    if is_free(facts) and not free:
        raise UsageError(
            f"resize={resize} fixes the shortest side only, and crop is none",
            f"give crop={resize}, or resize=[{resize},{resize}] to stretch",
        )
    least = resize if isinstance(resize, int) else min(resize)
    if crop is not None and crop > least:
        raise UsageError(
            f"crop {crop} is larger than the resized picture ({least})",
            f"give a crop of at most {least}, or a larger resize",
        )
    if facts.reducing_gap is not None and not facts.antialias:
        raise UsageError("reducing_gap averages pixels, antialias=false does not", "give one of the two")
    return per_channel(facts)
