"""Make a Bundle beside its place and move it there whole: never half-written, the previous one kept until then."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..errors import OutputError
from . import manifest as m
from .reader import digest

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A folder beside `target` to build in; it is removed if the block raises or does not `publish` it.

    Raises:
        OutputError: the output is in the way, cannot be written, or the disk is full.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a link that stands at the output
    if target.exists() and not (target / m.NAME).is_file() and not zipfile.is_zipfile(target):
        raise OutputError(f"{target.name} exists and is not a Bundle", "choose another -o, or remove it yourself")
    folder = target.parent / f".{target.name}.{os.getpid()}.tmp"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        folder.mkdir()
    try:
        yield folder
    except OSError as exc:
        if exc.errno in FULL:
            raise _full(target) from exc
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(target: Path) -> None:
    """Finish what a killed run left: restore a Bundle that was being replaced, remove abandoned staging folders."""
    aside = _aside(target)
    if aside.exists():
        if target.exists():
            _remove(aside)
        else:
            aside.rename(target)
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        pid = left.name.split(".")[-2]
        if not (pid.isdigit() and _alive(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


def finish(folder: Path, manifest: m.Manifest) -> m.Manifest:
    """Write the manifest with every file of the folder listed."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != m.NAME)
    entries = tuple(m.FileEntry(path=p.relative_to(folder).as_posix(), size=p.stat().st_size, sha256=digest(p)) for p in files)
    manifest = msgspec.structs.replace(manifest, files=entries)
    (folder / m.NAME).write_bytes(m.encode(manifest))
    return manifest


def publish(folder: Path, target: Path) -> None:
    """Move a finished folder to its place; the Bundle that was there is kept until the new one stands."""
    target = Path(os.path.abspath(target))  # noqa: PTH100
    _replace(folder, target)


def place_folder(folder: Path, target: Path, names: set[str]) -> None:
    """Copy the named sub-folders to an output folder that is new or empty."""
    for name in sorted(names):
        shutil.copytree(folder / name, target / name)


def write_zip(folder: Path, target: Path, files: list[str]) -> None:
    """The Bundle as one zip file: stored uncompressed, dates fixed, so that equal Bundles give equal bytes."""
    packed = folder.parent / f"{folder.name}.zip"
    try:
        with writing(target), zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted([m.NAME, *files]):
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.external_attr = 0o644 << 16
                with (folder / name).open("rb") as source, archive.open(info, "w", force_zip64=True) as out:
                    shutil.copyfileobj(source, out, 1 << 20)
        _replace(packed, Path(os.path.abspath(target)))  # noqa: PTH100
    finally:
        packed.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Name the output in what the disk says."""
    try:
        yield
    except OSError as exc:
        where = target.name
        if exc.errno in FULL:
            raise _full(target) from exc
        raise OutputError(f"{where}: cannot be written ({exc.strerror or exc})", "choose another -o; nothing was changed") from exc


def _full(target: Path) -> OutputError:
    return OutputError(f"{target.name}: the disk is full", "free some space, or choose another -o; nothing was changed")


def check_space(folder: Path, target: Path) -> None:
    """Say that the disk is full where a converter only said that it failed."""
    if shutil.disk_usage(folder).free < 1 << 20:
        raise _full(target)


def _replace(new: Path, target: Path) -> None:
    aside = _aside(target)
    if target.exists():
        target.rename(aside)
    new.rename(target)
    _remove(aside)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.previous"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
