"""Every kind of picture is decoded as a person would see it, or refused in one line; memory stays bounded."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import PATHS, photo, saved, sized
from PIL import Image

from torchport.errors import BadInput
from torchport.tasks.shared import pictures

RED = (200, 30, 40)


def test_a_photo_is_what_pillow_makes_of_it():
    raw = PATHS[0].read_bytes()
    image = pictures.decode(raw)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous and image.flags.writeable
    np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")))
    np.testing.assert_array_equal(
        pictures.decode(raw, "L")[:, :, 0], np.asarray(Image.open(io.BytesIO(raw)).convert("L"))
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind, orientation):
    upright = Image.fromarray(sized(32, 16))
    # What a camera stores is the upright picture turned back.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    seen = pictures.decode(saved(stored, kind, exif=exif, **options))
    assert seen.shape == (16, 32, 3)
    assert np.abs(seen.astype(int) - np.asarray(upright)).mean() < 2


@pytest.mark.parametrize(
    ("picture", "seen"),
    [
        (Image.new("1", (3, 2), 1), (255, 255, 255)),
        (Image.new("L", (3, 2), 77), (77, 77, 77)),
        (Image.new("LA", (3, 2), (77, 0)), (255, 255, 255)),
        (Image.new("RGBA", (3, 2), (*RED, 255)), RED),
        (Image.new("RGBA", (3, 2), (*RED, 0)), (255, 255, 255)),
        (Image.new("RGBA", (3, 2), (200, 0, 100, 51)), (244, 204, 224)),
        (Image.new("I;16", (3, 2), 0x4D00), (77, 77, 77)),
        (Image.new("I;16", (3, 2), 65535), (255, 255, 255)),
    ],
    ids=["1", "L", "LA", "opaque", "transparent", "half", "16-bit", "16-bit white"],
)
def test_modes_of_png(picture, seen):
    image = pictures.decode(saved(picture))
    assert image.shape == (2, 3, 3)
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [list(seen)]


def test_palettes_with_and_without_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, 0, 0, 255])
    palette.putdata([0, 1])
    assert pictures.decode(saved(palette)).tolist() == [[list(RED), [0, 0, 255]]]
    for transparency in (1, bytes([255, 0])):
        assert pictures.decode(saved(palette, transparency=transparency)).tolist() == [[list(RED), [255, 255, 255]]]
    see_through = Image.new("RGB", (2, 1), RED)
    assert pictures.decode(saved(see_through, transparency=RED)).tolist() == [[[255, 255, 255]] * 2]


def test_cmyk():
    seen = pictures.decode(saved(photo().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(seen.astype(int) - np.asarray(photo())).mean() < 3


@pytest.mark.parametrize(
    ("samples", "seen"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 77.0, 255.0]], np.float32), [0, 77, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 1e6, 2e6]], np.float32), [0, 128, 255]),
        (np.array([[0, 77, 255]], np.int32), [0, 77, 255]),
        (np.array([[0, 0x4DFF, 65535]], np.int32), [0, 0x4D, 255]),
        (np.array([[-500, 0, 499]], np.int32), [0, 128, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
    ],
)
def test_deep_samples_are_scaled_not_clipped(samples, seen):
    raw = saved(Image.fromarray(samples), "TIFF")
    assert pictures.decode(raw, "L")[0, :, 0].tolist() == seen
    assert pictures.decode(raw)[0].tolist() == [[level] * 3 for level in seen]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(value):
    with pytest.raises(BadInput, match="undefined"):
        pictures.decode(saved(Image.fromarray(np.array([[0.0, value]], np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame(kind):
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    raw = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert pictures.decode(raw)[0, 0].tolist() == list(RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_picture_is_refused(kind):
    raw = saved(photo().resize((64, 64)), kind)
    with pytest.raises(BadInput, match="cannot be decoded"):
        pictures.decode(raw[: len(raw) // 2])


@pytest.mark.parametrize(
    ("raw", "said"), [(b"", "empty"), (b"hello", "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture")]
)
def test_what_is_no_picture_is_refused(raw, said):
    with pytest.raises(BadInput, match=said):
        pictures.decode(raw)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_never_escapes_as_a_foreign_error(place, damage):
    raw = bytearray(saved(photo().resize((48, 48)), "PNG"))
    place %= len(raw)
    raw[place : place + len(damage)] = damage
    with contextlib.suppress(BadInput):
        assert pictures.decode(bytes(raw)).dtype == np.uint8


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_bomb_is_refused_by_its_header(side):
    raw = bytearray(saved(Image.new("L", (1, 1)), "BMP"))
    raw[18:26] = side.to_bytes(4, "little") * 2
    with pytest.raises(BadInput, match="more than 89 million pixels"):
        pictures.decode(bytes(raw))


def test_a_damaged_orientation_is_no_reason_to_refuse():
    raw = saved(
        photo().resize((8, 8)),
        "PNG",
        exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\x04\x00\x00\x00abc\x00\x00\x00\x00\x00",
    )
    assert pictures.decode(raw).shape == (8, 8, 3)


PEAK = """
import sys
import numpy as np
from torchport.tasks.shared import pictures, picture_facts, resize

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

raw = open(sys.argv[1], "rb").read()
facts = picture_facts.check(picture_facts.PictureFacts())
resize.to_pixels(np.zeros((8, 8, 3), np.uint8), facts)
before = peak()
image = pictures.decode(raw)
if sys.argv[2] == "host":
    resize.to_pixels(image, facts)
else:
    assert max(pictures.shrink(image, None, facts.max_pixels).shape) == 1344
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("way", ["host", "shrink"])
@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA")])
def test_a_12_megapixel_picture_takes_at_most_200_mb(tmp_path, kind, mode, way):
    path = tmp_path / "large"
    picture = photo().resize((4032, 3024)).convert(mode)
    if mode == "RGBA":
        picture.putalpha(128)
    picture.save(path, kind, **({"compress_level": 1} if kind == "PNG" else {}))
    answer = subprocess.run([sys.executable, "-c", PEAK, str(path), way], capture_output=True, text=True, check=True)
    assert int(answer.stdout) <= 200


def test_shrink_leaves_what_fits():
    image = sized(300, 200)
    assert pictures.shrink(image, None, 2**21) is image
    assert pictures.shrink(image, (200, 300, 3), 2**21) is image


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from([None, (1024, 1024, 3), (64, 2000, 3)]),
    st.sampled_from([2**21, 5000]),
)
def test_shrink_takes_the_smallest_factor_that_fits(height, width, max_shape, max_pixels):
    image = np.zeros((height, width, 3), np.uint8)
    rows, columns = pictures.shrink(image, max_shape, max_pixels).shape[:2]

    def fits(factor: int) -> bool:
        h, w = -(-height // factor), -(-width // factor)
        return h * w <= max_pixels and (max_shape is None or (h <= max_shape[0] and w <= max_shape[1]))

    factor = next(f for f in range(1, 4000) if fits(f))
    assert (rows, columns) == (-(-height // factor), -(-width // factor))


def test_shrink_means_pixels_and_bounds_a_strip():
    image = np.arange(12, dtype=np.uint8).reshape(2, 6, 1) * 10
    assert pictures.shrink(image, (1, 3, 1), 100)[:, :, 0].tolist() == [[35, 55, 75]]
    assert pictures.shrink(np.zeros((1, 100_000, 3), np.uint8), None, 2**21).shape == (1, 7693, 3)
