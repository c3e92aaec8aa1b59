"""The zip form of a Bundle: files stored as they are, each once, nothing that grows when it is read."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

from ..errors import BundleError

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)
"""What a zip file raises that was cut off or changed; RuntimeError where that made it look encrypted."""

_END = b"PK\x05\x06"
_MOST_DIRECTORY = 16 << 20


def open_zip(file: BinaryIO, where: str, most: int) -> zipfile.ZipFile:
    """The archive of a Bundle, its table of contents checked.

    Args:
        most: the greatest number of files.

    Raises:
        BundleError: a file in it is compressed, encrypted, a link, or there twice; the files together are larger than
        the
            archive; there are too many.
        DAMAGED: it is no zip, or was cut off.
    """

    def broken(what: str, hint: str) -> BundleError:
        return BundleError(f"{where}: {what}", hint)

    if _directory_bytes(file) > _MOST_DIRECTORY:
        raise broken("its table of contents is larger than that of any Bundle", "ask for the Bundle again")
    archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    if len(infos) > most:
        raise broken(f"it holds {len(infos)} files; at most {most} are allowed", "ask for the Bundle again")
    if len({info.filename for info in infos}) != len(infos):
        raise broken("it holds two files of one name", "do not use this Bundle: ask for it from somebody you trust")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
            raise broken(
                "its files are compressed, and a zipped Bundle is stored as it is",
                "unpack it and give the folder, or make it by `torchport pack --zip`",
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise broken("it holds a link", "a Bundle holds plain files only: ask for it again")
    if sum(info.file_size for info in infos) > file.seek(0, 2):
        raise broken("its files are larger than itself", "do not use this Bundle: ask for it from somebody you trust")
    return archive


def _directory_bytes(file: BinaryIO) -> int:
    """What the end of a zip says of the length of its table of contents, before that is read into memory.

    Raises:
        BadZipFile: there is no such end.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 98))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("no end of a zip")
    length: int = struct.unpack_from("<L", tail, at + 12)[0]
    if length == 0xFFFFFFFF and at >= 76 and tail[at - 76 : at - 72] == b"PK\x06\x06":
        length = struct.unpack_from("<Q", tail, at - 36)[0]
    return length
