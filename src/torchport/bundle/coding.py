"""Entropy coding of a Bundle's files with zstd: stored smaller, decoded before use, and never taken for more than was
told.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from ..errors import BundleError, MissingDependency
from ..system import cache
from . import grammar
from .manifest import Coded, FileEntry

SUFFIX = ".zst"

LEVEL = 19
"""The strongest that zstd decodes with 8 MiB of memory."""

WORTH = 0.98
"""A file that stays larger than this share of itself is left as it is: decoding it would take time and save nothing."""

MOST_WINDOW = 1 << 27
"""How far back a coded file may refer, in bytes: what decoding takes of memory, whatever the file asks for."""

_PIECE = 1 << 20


def code(folder: Path) -> dict[str, Coded]:
    """Code the files below the sub-folders of a Bundle in the making where it is worth it; those at the top are for
    people.

    Returns:
        Path of each coded file, which ends in `.zst` -> what it decodes to.

    Raises:
        MissingDependency: zstandard is not installed.
    """
    zstd, found = _zstandard(), dict[str, Coded]()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.parent != folder):
        stored, size = path.with_name(path.name + SUFFIX), path.stat().st_size
        with path.open("rb") as source, stored.open("wb") as target:
            zstd.ZstdCompressor(level=LEVEL).copy_stream(source, target, size=size)
        packed = stored.stat().st_size
        if packed > WORTH * size or size > grammar.MOST_RATIO * packed + (1 << 20):
            stored.unlink()
            continue
        found[stored.relative_to(folder).as_posix()] = Coded(
            coding="zstd", path=path.relative_to(folder).as_posix(), size=size, sha256=cache.digest(path)
        )
        path.unlink()
    return found


def bring(stored: Path, entry: FileEntry, target: Path, where: str) -> None:
    """Write what a stored file holds, decoded where it is coded, whole or not at all and no byte more than was told.

    Raises:
        BundleError: it is damaged, or holds something else than was told.
        MissingDependency: zstandard is not installed.
        OSError: the target cannot be written.
    """
    scratch, size, sha256 = target.with_name(f".new-{os.urandom(8).hex()}"), 0, hashlib.sha256()
    damaged = tuple[type[Exception], ...]()
    if shutil.disk_usage(target.parent).free < entry.content_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        with stored.open("rb") as source, scratch.open("wb") as out:
            reader: Any = source
            if entry.coded is not None:
                zstd = _zstandard()
                damaged = (zstd.ZstdError,)
                reader = zstd.ZstdDecompressor(max_window_size=MOST_WINDOW).stream_reader(source)
            while size <= entry.content_size and (piece := reader.read(min(_PIECE, entry.content_size + 1 - size))):
                size += len(piece)
                sha256.update(piece)
                out.write(piece)
        if size > entry.content_size:
            raise BundleError(
                f"{where}: {entry.path} holds more than the {entry.content_size} bytes that are listed",
                "do not use this Bundle: ask for it from somebody you trust",
            )
        if size < entry.content_size:
            raise BundleError(
                f"{where}: {entry.path} is damaged (it holds {size} bytes, {entry.content_size} are listed)",
                "ask for the Bundle again",
            )
        if sha256.hexdigest() != entry.content_sha256:
            raise BundleError(
                f"{where}: {entry.path} is damaged (the sha256 of what it holds differs)", "ask for the Bundle again"
            )
        scratch.replace(target)
    except damaged as exc:
        raise BundleError(f"{where}: {entry.path} is damaged ({exc})", "ask for the Bundle again") from exc
    finally:
        scratch.unlink(missing_ok=True)


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as exc:
        raise MissingDependency(f"coded files need zstandard: {exc}", "pip install 'torchport[smallest]'") from exc
    return zstandard
