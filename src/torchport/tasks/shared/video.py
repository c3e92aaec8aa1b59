"""Frames of a moving picture, one at a time: video files, animated pictures, and zip files of frames.

Video files (MP4, AVI, Matroska, WebM, MOV ...) are decoded by PyAV, on one thread; animated GIF, PNG and WebP by
Pillow; a zip file holds a picture a frame, in the order of their names with numbers in them counted as numbers. A still
picture is a video of one frame. No more than the file's bytes and one frame are held.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...errors import BadInput, MissingDependency, first_line
from ...figures import size
from . import pictures
from .picture_items import SUFFIXES as PICTURES

if TYPE_CHECKING:
    import av

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".apng", ".zip")
MIME = {
    "video/mp4": ".mp4",
    "video/x-msvideo": ".avi",
    "video/x-matroska": ".mkv",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "image/gif": ".gif",
    "application/zip": ".zip",
}

MOST_PIXELS = 2**26
"""Pixels of the greatest frame: 8K video is half of it. A frame in RGB is then at most 201 MB."""

RATE = 30.0
"""Frames a second of what does not state it: folders and zip files of frames."""

_MOST_BYTES = 2**28
_STILL = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")


class Clip:
    """The frames of one moving picture, to be walked once.

    Attributes:
        rate: frames a second.
        notes: what was wrong with it, a sentence each; complete when the frames have been walked.
    """

    def __init__(self, raw: bytes) -> None:
        """Of a file's content; it is opened when the first frame is asked for. Raises BadInput where it is empty."""
        if not raw:
            raise BadInput(
                "the file is empty",
                f"give a video, an animated picture or a zip file of frames ({', '.join(SUFFIXES)})",
            )
        self.rate = RATE
        self.notes: list[str] = []
        if raw[:4] in (b"PK\3\4", b"PK\5\6"):
            self._frames = self._zipped(raw)
        elif raw.startswith(_STILL) or raw[8:12] == b"WEBP":
            self._frames = self._animated(raw)
        else:
            self._frames = self._video(raw)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each frame, uint8 [height, width, 3] in RGB; where the file is cut off, those before, and a note.

        Raises:
            BadInput: it is of no known format or holds no pictures, not one whole frame, too large a one, or one of
            another size than those before. MissingDependency: it is a video file and `av` is not installed.
        """
        size, count = None, 0
        for count, frame in enumerate(self._frames, 1):
            if size not in (None, frame.shape):
                assert size is not None
                raise BadInput(
                    f"frame {count} is {shown(frame.shape)} pixels, those before are {shown(size)}",
                    "tracks are places in a frame: cut the video there, or bring its frames to one size",
                )
            size = frame.shape
            yield frame
        if not count:
            raise BadInput(
                " ".join(["the video holds no whole frame.", *self.notes]).removesuffix("."),
                "give one with at least one",
            )

    def _zipped(self, raw: bytes) -> Iterator[np.ndarray]:
        try:
            archive = zipfile.ZipFile(io.BytesIO(raw))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
            raise BadInput(f"the zip file cannot be read: {exc}", "it is damaged or cut off: get it again") from exc
        entries = [entry for entry in archive.infolist() if not entry.is_dir() and is_frame(Path(entry.filename))]
        for entry in sorted(entries, key=lambda one: natural(one.filename)):
            if entry.file_size > _MOST_BYTES:
                raise BadInput(
                    f"{entry.filename} unpacks to {size(entry.file_size)}",
                    f"a frame may have {size(_MOST_BYTES)} at most",
                )
            try:
                frame = pictures.decode(archive.read(entry))
            except BadInput as exc:
                raise BadInput(f"{entry.filename}: {exc.message}", exc.hint) from exc
            except (
                zipfile.BadZipFile,
                RuntimeError,
                NotImplementedError,
                OSError,
                EOFError,
                ValueError,
            ) as exc:  # RuntimeError: it asks for a password
                raise BadInput(
                    f"{entry.filename} cannot be unpacked: {exc}", "make the zip file again, without a password"
                ) from exc
            _allow(frame.shape[1], frame.shape[0])
            yield frame

    def _animated(self, raw: bytes) -> Iterator[np.ndarray]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(raw), formats=pictures.FORMATS)
            count = getattr(picture, "n_frames", 1)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
            raise _too_large("more than any picture is allowed to have") from exc
        except Exception as exc:  # on damaged bytes a decoder may fail in any way
            raise BadInput(
                f"the picture cannot be read: {first_line(exc, kind=False)}", "it is damaged or cut off: get it again"
            ) from exc
        _allow(*picture.size)
        if count == 1:
            yield pictures.decode(raw)
            return
        for number in range(count):
            try:
                picture.seek(number)
                frame = np.asarray(pictures.flat(picture, "RGB"))
            except Exception as exc:
                self.notes.append(f"It breaks off in frame {number + 1} of {count}: {first_line(exc, kind=False)}.")
                return
            duration = picture.info.get("duration")  # of a WebP known only now
            self.rate = 1000 / duration if duration and not number else self.rate
            yield frame

    def _video(self, raw: bytes) -> Iterator[np.ndarray]:
        av = _av()
        try:
            container = av.open(
                io.BytesIO(raw), options={"protocol_whitelist": "none"}
            )  # an SDP file or a playlist would open sockets and other files
        except (av.error.FFmpegError, ValueError) as exc:
            raise BadInput(
                "the file is not a video that can be opened",
                "give MP4, AVI, Matroska or WebM, whole: an MP4 that is cut off lacks its index, at the end",
            ) from exc
        with container:
            if not container.streams.video:
                raise BadInput(
                    "the file holds no pictures, only "
                    f"{', '.join(sorted({stream.type for stream in container.streams})) or 'nothing'}",
                    "give a file with a video stream",
                )
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec is None:
                raise BadInput("the video is in a format that cannot be decoded here", "convert it to H.264 in MP4")
            _allow(codec.width, codec.height)
            codec.options = {"max_pixels": str(MOST_PIXELS)}  # where the size changes on the way
            codec.thread_count = 1
            rate = stream.average_rate or stream.guessed_rate
            self.rate = float(rate) if rate else RATE
            yield from self._decoded(container, stream)

    def _decoded(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[np.ndarray]:
        whole, damaged, end, error = 0, 0, 0.0, ""
        frames = container.decode(stream)
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                break
            except (_av().error.FFmpegError, ValueError) as exc:
                error = f" ({first_line(exc, kind=False)})"
                break
            if frame.is_corrupt:
                damaged += 1
                continue
            whole += 1
            if frame.time is not None:
                end = max(end, float(frame.time) + 1 / self.rate)
            pixels = frame.to_ndarray(format="rgb24")
            yield np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90)) if frame.rotation % 360 else pixels
        stated = container.duration / 1e6 if container.duration else 0.0
        if damaged:
            self.notes.append(f"{damaged} damaged {'frame was' if damaged == 1 else 'frames were'} left out.")
        if stream.frames > whole + damaged:
            self.notes.append(f"It breaks off: the file states {stream.frames} frames, {whole} could be read{error}.")
        elif error or (not stream.frames and stated - end > 1.5 / self.rate):
            self.notes.append(
                f"It breaks off after {whole} frames, {end:.2f} s of the {stated:.2f} s that it states{error}."
            )


def one(picture: Any) -> np.ndarray:
    """A frame as a caller pushes it: an array, or an encoded picture's bytes.

    Returns:
        uint8 [height, width, 3] in RGB.

    Raises:
        BadInput: an array of another shape or dtype, an empty one, or bytes that are no picture.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        return pictures.decode(bytes(picture))
    if (
        not isinstance(picture, np.ndarray)
        or picture.dtype != np.uint8
        or picture.ndim != 3
        or picture.shape[2] != 3
        or not picture.size
    ):
        what = f"{picture.dtype}{list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise BadInput(f"a frame is {what}", "push uint8 [height, width, 3] in RGB, or the bytes of a picture")
    _allow(picture.shape[1], picture.shape[0])
    return picture


def zipped(folder: Path) -> bytes:
    """The pictures of a folder as one zip file, stored as they are: a folder of frames as raw bytes.

    Raises:
        BadInput: it holds no pictures.
    """
    files = sorted(
        (path for path in folder.iterdir() if path.is_file() and is_frame(path)), key=lambda path: natural(path.name)
    )
    if not files:
        raise BadInput(f"{folder}: no pictures inside", f"a folder of frames holds {', '.join(PICTURES)}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            archive.write(path, path.name)
    return packed.getvalue()


def write(frames: Iterable[np.ndarray], rate: float) -> bytes:
    """Frames, uint8 [height, width, 3] in RGB and all of one size, as an MP4 (H.264 where there is an encoder, else
    MPEG-4).

    An odd height or width loses its last row or column: the format's colours come in blocks of 2 x 2.
    """
    av = _av()
    content, stream = io.BytesIO(), None
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(content, "w", format="mp4") as container:
        for frame in frames:
            frame = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt, stream.thread_count = "yuv420p", 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    return content.getvalue()


def is_frame(path: Path) -> bool:
    """Whether a file's name is that of a picture: not hidden, and not what a file manager left in a zip file."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def natural(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts `frame2` before `frame10`."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name)]


def shown(shape: tuple[int, ...]) -> str:
    """Width x height of an array's shape, as people write it."""
    return f"{shape[1]}x{shape[0]}"


def _allow(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _too_large(f"{width}x{height}")


def _too_large(pixels: str) -> BadInput:
    return BadInput(
        f"a frame has {pixels} pixels",
        f"at most {MOST_PIXELS / 1e6:.0f} million are taken: make the frames smaller first",
    )


def _av() -> Any:
    try:
        import av
        import av.error
    except ImportError as exc:
        raise MissingDependency(
            "video files are read with av, which is not installed", "pip install 'torchport[video]'"
        ) from exc
    return av
