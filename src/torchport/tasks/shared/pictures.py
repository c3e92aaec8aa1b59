"""From the bytes of a picture to 8-bit pixels, as a person would expect to see them. Pillow and numpy only.

No step holds more than the decoded picture and its copy: a picture moves into its array a strip at a time.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import BadInput, first_line

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF", "TGA", "ICO")
"""Formats whose decoder is a library; PostScript, for one, would start a program on a stranger's bytes."""

GREATEST_SIDE = 8192
"""Side of the greatest picture the in-graph form takes: one resampling matrix is then 7 MB at crop 224."""

MOST_SCANNED = 2**30
"""Pixels that the scans of one JPEG may pass over in all, some seconds of work: usual are ten scans, and Pillow takes
89 million pixels.
"""

_SCAN = b"\xff\xda"
_STRIP = 2**20
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(raw: bytes, color: str = "RGB") -> np.ndarray:
    """Decode a picture upright.

    The EXIF orientation is applied; transparent parts show white; of an animation the first frame is taken; samples of
    more than 8 bits are scaled down, not clipped (see `_to_8_bits`).

    Args:
        raw: a file's content, in one of `FORMATS`.
        color: `L` for greyscale; anything else gives RGB.

    Returns:
        uint8 [height, width, channels], 1 channel for `L` and else 3.

    Raises:
        BadInput: not a picture, truncated, damaged, or of more pixels than Pillow's guard against bombs allows.
    """
    if not raw:
        raise BadInput("the file is empty", "give a picture, such as a JPEG or PNG file")
    try:
        picture = _upright(_open(raw))
        if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
            grey = _to_8_bits(picture)
            return grey if color == "L" else np.repeat(grey, 3, axis=2)
        return _array(flat(picture, "L" if color == "L" else "RGB"))
    except BadInput:
        raise
    except Exception as exc:  # on damaged bytes a decoder may fail in any way
        _refuse(exc)


def _open(raw: bytes) -> Image.Image:
    # Where threads race for the filters, the worst that stays behind is this one, and it says what is wanted.
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        picture = Image.open(io.BytesIO(raw), formats=FORMATS)
    check_scans(picture, raw)
    picture.load()
    return picture


def check_scans(picture: Image.Image, raw: bytes) -> None:
    """Refuse a progressive JPEG that passes over its pixels again and again: each scan of a few bytes costs as much as
    the whole picture.

    Raises:
        BadInput: its scans together pass over more than `MOST_SCANNED` pixels.
    """
    scans = raw.count(_SCAN) if picture.format in ("JPEG", "MPO") else 1
    if scans * picture.width * picture.height > MOST_SCANNED:
        raise BadInput(
            f"the picture of {picture.width} x {picture.height} pixels is stored in {scans} scans",
            "save it again as a plain JPEG or PNG file",
        )


def _refuse(exc: Exception) -> NoReturn:
    if isinstance(exc, Image.DecompressionBombError | Image.DecompressionBombWarning):
        limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million"
        raise BadInput(f"the picture has more than {limit} pixels", "make it smaller first") from exc
    if isinstance(exc, UnidentifiedImageError):
        raise BadInput("the file is not a picture of a known format", f"give one of {', '.join(FORMATS)}") from exc
    raise BadInput(
        f"the picture cannot be decoded: {first_line(exc, kind=False)}",
        "the file is damaged or cut off: get it again",
    ) from exc


def _upright(picture: Image.Image) -> Image.Image:
    try:
        method = _UPRIGHT.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata of a sound picture
        return picture
    return picture if method is None else picture.transpose(method)


def flat(picture: Image.Image, mode: str) -> Image.Image:
    """A Pillow picture without transparency, on white, in mode `RGB` or `L`."""
    if not picture.has_transparency_data:
        return picture if picture.mode == mode else picture.convert(mode)
    if picture.mode != "RGBA":
        picture = picture.convert("RGBA")
    page = Image.new("RGB", picture.size, "white")
    page.paste(picture, mask=picture.getchannel("A"))
    return page.convert(mode)


def _to_8_bits(picture: Image.Image) -> np.ndarray:
    """Grey pixels of 16-bit, 32-bit or float samples as uint8 [height, width, 1].

    Where none is negative, 0 stays 0, and the top of the narrowest usual range that holds all samples (1 for floats,
    255, 65535), or else the highest sample, becomes 255; where some are, the lowest becomes 0 and the highest, or 0,
    becomes 255. Integers fall into 256 equal steps, so that a 16-bit picture keeps its high byte, as colour pictures of
    16 bits do in Pillow.
    """
    is_float = picture.mode == "F"
    usual = (1.0, 255.0, 65535.0) if is_float else (65535.0,) if picture.mode.startswith("I;16") else (255.0, 65535.0)
    lowest, highest = cast("tuple[float, float]", picture.getextrema())
    low, high = (
        (lowest, max(highest, 0.0)) if lowest < 0 else (0.0, next((top for top in usual if highest <= top), highest))
    )
    rounded, factor = (np.rint, 255 / (high - low)) if is_float else (np.floor, 256 / (high - low + 1))

    def shade(samples: np.ndarray) -> np.ndarray:
        if not np.isfinite(samples).all():
            raise BadInput("the picture holds infinite or undefined samples", "replace them first")
        return np.asarray(rounded((samples.astype(np.float64) - low) * factor))

    return _array(picture, shade)


def _array(picture: Image.Image, shade: Callable[[np.ndarray], np.ndarray] = np.asarray) -> np.ndarray:
    """uint8 [height, width, channels] of a picture, copied strip by strip: in one piece Pillow makes two copies
    more.
    """
    width, height = picture.size
    array = np.empty((height, width, len(picture.getbands())), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = shade(np.asarray(picture.crop((0, top, width, bottom)) if rows < height else picture))
        array[top:bottom] = strip.reshape(array[top:bottom].shape)
    return array


def to_pillow(image: np.ndarray) -> Image.Image:
    """A Pillow picture (`RGB`, or `L` for one channel) of uint8 [height, width, channels]."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def shrink(image: np.ndarray, max_shape: Sequence[int] | None, max_pixels: int) -> np.ndarray:
    """Bring a picture within the bounds of the in-graph form.

    The rule: the smallest whole factor f for which ceil(height / f) and ceil(width / f) fit `max_shape` and
    `GREATEST_SIDE`, and their product `max_pixels`; each pixel of the answer is the mean of f x f pixels (fewer at the
    right and lower edge).

    Args:
        image: uint8 [height, width, channels].
        max_shape: greatest size per axis, or None where the artefact sets no bound.
        max_pixels: greatest number of pixels.

    Returns:
        uint8 [height, width, channels]; the same array where it fits already.
    """
    height, width = image.shape[:2]
    highest, widest = (min(GREATEST_SIDE, bound) for bound in (max_shape or image.shape)[:2])
    factor = max(
        1, math.ceil(height / highest), math.ceil(width / widest), math.isqrt(height * width // max(1, max_pixels))
    )
    while factor < max(height, width) and math.ceil(height / factor) * math.ceil(width / factor) > max_pixels:
        factor += 1
    if factor == 1:
        return image
    return _array(to_pillow(image).reduce(factor))


def thumbnail(raw: bytes, side: int) -> bytes | None:
    """The picture as a JPEG of at most `side` pixels a side, for reports; None where it cannot be decoded."""
    try:
        picture = to_pillow(decode(raw))
    except BadInput:
        return None
    picture.thumbnail((side, side))
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=80)
    return small.getvalue()
