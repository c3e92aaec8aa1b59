"""Frames of videos, animated pictures and zip files: whole, cut off, damaged, and none at all."""

from __future__ import annotations

import io
import zipfile

import av
import numpy as np
import pytest
from PIL import Image

from torchport.errors import BadInput, MissingDependency
from torchport.tasks.shared import draw, video
from torchport.tasks.shared.video import Clip

HEIGHT, WIDTH = 64, 96


def moving(count: int, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """A white square on its way over noise that no encoder can drop."""
    noise = np.random.default_rng(0)
    frames = []
    for number in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[:8] = noise.integers(0, 255, (8, width, 3))
        frame[20:30, number : number + 10] = 255
        frames.append(frame)
    return frames


def encoded(form: str, codec: str, pixels: str, frames: list[np.ndarray], rate: int = 15) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return content.getvalue()


def picture(frame: np.ndarray, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(frame).save(content, form)
    return content.getvalue()


def animated(frames: list[np.ndarray], form: str, **options: object) -> bytes:
    content = io.BytesIO()
    first, *rest = map(Image.fromarray, frames)
    first.save(content, form, save_all=True, append_images=rest, **options)
    return content.getvalue()


def packed(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


LOSSLESS = {"rawvideo in avi": ("avi", "rawvideo", "bgr24"), "ffv1 in matroska": ("matroska", "ffv1", "bgr0")}
LOSSY = {
    "mp4": ("mp4", "libx264", "yuv420p"),
    "mjpeg": ("avi", "mjpeg", "yuvj420p"),
    "webm": ("webm", "libvpx-vp9", "yuv420p"),
    "mpeg4": ("avi", "mpeg4", "yuv420p"),
}


@pytest.mark.parametrize("kind", LOSSLESS.values(), ids=LOSSLESS)
def test_lossless_video_comes_back_to_the_bit(kind):
    frames, clip = moving(5), Clip(encoded(*kind, moving(5)))
    assert all(np.array_equal(*pair) for pair in zip(clip, frames, strict=True))
    assert clip.rate == 15 and not clip.notes


@pytest.mark.parametrize("kind", LOSSY.values(), ids=LOSSY)
def test_a_video_that_ends_in_mid_frame(kind):
    raw = encoded(*kind, moving(40))
    whole = Clip(raw)
    assert len(list(whole)) == 40 and not whole.notes
    clip = Clip(raw[: int(len(raw) * 0.6)])
    if kind[0] == "mp4":  # its index lies at the end
        with pytest.raises(BadInput, match="cut off"):
            list(clip)
        return
    assert 0 < len(list(clip)) < 40
    assert "breaks off" in clip.notes[-1]


@pytest.mark.parametrize(
    ("form", "options"),
    [("GIF", {"duration": 40}), ("PNG", {"duration": 40}), ("WEBP", {"duration": 40, "lossless": True})],
)
def test_animated_pictures(form, options):
    frames = moving(6)
    raw = animated(frames, form, **options)
    clip = Clip(raw)
    shown = list(clip)
    assert len(shown) == 6 and shown[0].shape == (HEIGHT, WIDTH, 3) and clip.rate == 25
    if form != "GIF":
        assert all(np.array_equal(*pair) for pair in zip(shown, frames, strict=True))
    assert abs(shown[3][25, 8].astype(int) - 255).max() < 40


def test_an_animation_that_is_cut_off():
    raw = animated(moving(20), "GIF", duration=40)
    clip = Clip(raw[: len(raw) // 2])
    assert 0 < len(list(clip)) < 20
    assert "breaks off" in clip.notes[0]


def test_a_still_picture_is_one_frame():
    assert [frame.shape for frame in Clip(picture(moving(1)[0], "JPEG"))] == [(HEIGHT, WIDTH, 3)]


def test_a_zip_file_in_the_order_of_its_numbers():
    frames = moving(11)
    names = {f"run/frame{number}.png": picture(frame) for number, frame in reversed(list(enumerate(frames)))}
    raw = packed({"__MACOSX/run/._frame1.png": b"junk", "run/.hidden.png": b"junk", "notes.txt": b"hello", **names})
    assert all(np.array_equal(*pair) for pair in zip(Clip(raw), frames, strict=True))


def test_a_folder_of_frames_as_raw_bytes(tmp_path):
    frames = moving(3)
    for number, frame in enumerate(frames):
        (tmp_path / f"{number}.png").write_bytes(picture(frame))
    (tmp_path / "gt.txt").write_text("")
    assert all(np.array_equal(*pair) for pair in zip(Clip(video.zipped(tmp_path)), frames, strict=True))
    with pytest.raises(BadInput, match="no pictures"):
        video.zipped(tmp_path.parent)


def test_a_picture_in_a_zip_file_that_is_damaged_is_named():
    raw = packed({"1.png": picture(moving(1)[0]), "2.png": picture(moving(1)[0])[:60]})
    with pytest.raises(BadInput, match=r"2\.png"):
        list(Clip(raw))


def silent_film() -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return content.getvalue()


BAD = {
    "empty": (b"", "empty"),
    "noise": (np.random.default_rng(0).bytes(4000), "not a video"),
    "text": ("no video, 不是视频".encode(), "not a video"),
    "GIF without a frame": (b"GIF89a\1\0\1\0\0\0\0;", "cannot be read"),
    "zip without a picture": (packed({"a.txt": b"hello"}), "no whole frame"),
    "a zip file cut off": (packed({"1.png": picture(moving(1)[0])})[:-30], "zip file"),
    "sound only": (silent_film(), "only audio"),
}


@pytest.mark.parametrize(("raw", "message"), BAD.values(), ids=BAD)
def test_what_is_no_video(raw, message):
    with pytest.raises(BadInput, match=message):
        list(Clip(raw))


def test_a_frame_of_another_size_is_refused_with_its_number():
    raw = packed({f"{number}.png": picture(frame) for number, frame in enumerate([*moving(2), moving(1, 32)[0]])})
    with pytest.raises(BadInput, match="frame 3 is 96x32 pixels, those before are 96x64"):
        list(Clip(raw))


def test_frames_of_more_pixels_than_allowed_are_refused_before_they_are_decoded(monkeypatch):
    raw = {form: encoded(form, "mpeg4", "yuv420p", moving(2)) for form in ("avi", "mp4")}
    monkeypatch.setattr(video, "MOST_PIXELS", HEIGHT * WIDTH - 1)
    for one in (*raw.values(), animated(moving(2), "GIF"), packed({"1.png": picture(moving(1)[0])})):
        with pytest.raises(BadInput, match="96x64 pixels"):
            list(Clip(one))
    with pytest.raises(BadInput, match="96x64 pixels"):
        video.one(moving(1)[0])


def test_a_picture_of_100_megapixels_among_the_frames():
    with pytest.raises(BadInput, match=r"1\.png: .*more than"):
        list(Clip(packed({"1.png": huge()})))
    with pytest.raises(BadInput, match="more than any"):
        list(Clip(huge()))


def huge() -> bytes:
    """A PNG that states 10,000 x 10,000 pixels, and holds none of them."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_a_pushed_frame_is_an_array_or_a_picture():
    frame = moving(1)[0]
    assert video.one(frame) is frame
    assert np.array_equal(video.one(picture(frame)), frame)
    for wrong in (frame[:, :, 0], frame.astype(np.float32), frame[:0], "frame.png", None):
        with pytest.raises(BadInput, match="a frame is"):
            video.one(wrong)


def test_written_video_comes_back_with_an_even_size():
    frames = [np.full((33, 47, 3), 10 * number, np.uint8) for number in range(8)]
    clip = Clip(video.write(frames, 12.5))
    shown = list(clip)
    assert [frame.shape for frame in shown] == [(32, 46, 3)] * 8 and clip.rate == 12.5
    assert max(abs(int(frame.mean()) - 10 * number) for number, frame in enumerate(shown)) <= 4


def test_without_av_the_error_says_what_to_install(monkeypatch):
    raw = encoded("avi", "mpeg4", "yuv420p", moving(2))
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingDependency, match=r"torchport\[video\]"):
        list(Clip(raw))


def test_boxes_are_drawn_larger_where_the_frame_is_small():
    frame = np.zeros((120, 160, 3), np.uint8)
    drawn = draw.boxes(frame, [{"id": 3, "index": 0, "label": "Ball", "box": [10.0, 20.0, 30.0, 40.0]}])
    assert drawn.size == (480, 360)
    assert drawn.getpixel((60, 60)) == draw.colour_of(3) and not any(drawn.getpixel((65, 90)))
    assert draw.boxes(np.zeros((600, 800, 3), np.uint8), []).size == (800, 600)
    assert len({draw.colour_of(number) for number in range(200)}) > 150
