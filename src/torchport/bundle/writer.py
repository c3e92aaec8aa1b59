"""Make a Bundle beside its place and move it there whole: never half-written, the previous one kept until then."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from ..errors import OutputError, TorchportError
from ..system import cache
from ..system.disk import FULL, full, writing
from . import grammar, rules
from . import manifest as m
from .reader import Bundle

TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR)
TRIES = 10


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A folder beside `target` to build in; it is removed if the block raises or does not `publish` it.

    Raises:
        OutputError: the output is in the way, cannot be written, or the disk is full.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a link that stands at the output
    if (why := _in_the_way(target)) is not None:
        raise OutputError(
            f"{grammar.printable(target.name)} exists and {why}", "choose another -o, or remove it yourself"
        )
    folder = target.parent / f".{target.name}.{os.getpid()}.tmp"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        folder.mkdir()
    try:
        yield folder
    except OSError as exc:
        if exc.errno in FULL:
            raise full(target) from exc
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_the_way(target: Path) -> str | None:
    """Why what stands there is not to be replaced, None where it may be; looked at again, for another run may be
    replacing a Bundle just now.
    """
    why = None
    for _ in range(TRIES):
        with writing(target):
            if not os.path.lexists(target):
                return None
        why = _not_ours(target)
        if why is None:
            return None
        time.sleep(0.01)
    return why


def _not_ours(target: Path) -> str | None:
    """Why something is no Bundle of which every file is listed, None where it is one: nothing but such a Bundle is ever
    removed.
    """
    if target.is_symlink():
        return "is a link"
    try:
        with Bundle(target, whole=False) as bundle:
            strange = bundle.strange()
    except TorchportError:
        return "is not a Bundle"
    return None if strange is None else f"holds {grammar.printable(strange)}, which is not part of that Bundle"


def sweep(target: Path) -> None:
    """Finish what killed runs left: restore a Bundle that was being replaced, remove abandoned staging folders."""
    for aside in _abandoned(target, "previous"):
        if target.exists():
            _remove(aside)
        else:
            aside.rename(target)
    for left in (*_abandoned(target, "tmp"), *_abandoned(target, "tmp.zip")):
        _remove(left)


def _abandoned(target: Path, kind: str) -> list[Path]:
    """What processes that are gone left beside the output: `.NAME.PID.<kind>`."""
    begin, end = f".{target.name}.", f".{kind}"
    found = []
    for path in target.parent.iterdir():
        pid = path.name.removeprefix(begin).removesuffix(end)
        if pid.isdigit() and path.name == f"{begin}{pid}{end}" and not _alive(int(pid)):
            found.append(path)
    return found


def listed(folder: Path, manifest: m.Manifest, coded: Mapping[str, m.Coded] = MappingProxyType({})) -> m.Manifest:
    """The manifest with every file of the folder listed; `coded` says what those that `coding.code` coded decode to."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != m.NAME}
    entries = tuple(
        m.FileEntry(path=path, size=p.stat().st_size, sha256=cache.digest(p), coded=coded.get(path))
        for path, p in files.items()
    )
    return msgspec.structs.replace(manifest, files=entries)


def finish(folder: Path, manifest: m.Manifest, coded: Mapping[str, m.Coded] = MappingProxyType({})) -> m.Manifest:
    """Write the manifest with every file of the folder listed, as `listed` does."""
    manifest = listed(folder, manifest, coded)
    rules.check(manifest, manifest.name)
    (folder / m.NAME).write_bytes(m.encode(manifest))
    return manifest


def publish(folder: Path, target: Path) -> None:
    """Move a finished folder, or file, to its place; the Bundle that was there is kept until the new one stands."""
    with writing(target):
        _replace(folder, Path(os.path.abspath(target)))  # noqa: PTH100


def place_folder(folder: Path, target: Path, names: set[str]) -> None:
    """Copy the named sub-folders to an output folder that is new or empty: all or none."""
    made = not target.exists()
    try:
        for path in sorted(path for name in names for path in (folder / name).rglob("*") if path.is_file()):
            place = target / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)  # copytree would gather the errors, and with them why they came
    except BaseException:
        for left in [target] if made else [target / name for name in names]:
            shutil.rmtree(left, ignore_errors=True)
        raise


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
        publish(packed, target)
    finally:
        packed.unlink(missing_ok=True)


def check_space(folder: Path, target: Path) -> None:
    """Say that the disk is full where a converter only said that it failed."""
    if shutil.disk_usage(folder).free < 1 << 20:
        raise full(target)


def _replace(new: Path, target: Path) -> None:
    aside = target.parent / f".{target.name}.{os.getpid()}.previous"
    for attempt in range(TRIES):
        with contextlib.suppress(FileNotFoundError):
            target.rename(aside)
        try:
            new.rename(target)
        except OSError as exc:
            # Another run put its own Bundle there between the two renames: that one is now the previous one.
            if exc.errno not in TAKEN or attempt == TRIES - 1:
                if not target.exists() and aside.exists():
                    aside.rename(target)
                raise
            _remove(aside)
            continue
        break
    _remove(aside)


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
