"""Open a Bundle, folder or zip, and hand out its files only after checking them."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from .. import cache
from ..errors import BundleError, OutputError
from . import coding
from . import manifest as m

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What a zip file raises that was cut off or changed; RuntimeError where that made it look encrypted."""

MADE_BY = "give a .tport folder or file made by `torchport deploy`"


class Bundle:
    """An opened Bundle.

    Opening checks that every listed path stays inside, is there and has its size; a file is hashed when it is first
    handed out. Nothing is ever written into a Bundle; a zip is unpacked, file by file, into a temporary folder, and coded
    files are decoded into the user's cache folder, or into a temporary one where there is none.

    Attributes:
        entries: what each listed file is called in the manifest -> its entry.

    Raises:
        BundleError: the Bundle is missing, damaged, unsafe or too new.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._checked: set[str] = set()
        self._homes: dict[str, Path] = {}
        with ExitStack() as stack:
            self._zip, self.root = self._open(stack)
            raw = self._manifest_bytes()
            self.digest = hashlib.sha256(raw).hexdigest()
            self.manifest = m.decode(raw, self.path.name)
            self.entries = {entry.name: entry for entry in self.manifest.files}
            self._check_listing()
            m.check(self.manifest, self.path.name)
            self._stack = stack.pop_all()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the temporary folders of a zipped or coded Bundle."""
        self._stack.close()

    def file(self, path: str) -> Path:
        """Where a listed file lies, its content checked against its sha256 the first time."""
        entry = self.entries.get(path)
        if entry is None:
            raise BundleError(f"{self.path.name}: {path} is not listed in {m.NAME}", "ask for the Bundle again")
        top = _top(path)
        target = self._home(top) / path.removeprefix(f"{top}/")
        if path not in self._checked:
            if target == self.root / entry.path:
                self._stored(entry)
            elif not (target.is_file() and cache.digest(target) == entry.content_sha256):
                with self._writing(path):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    coding.bring(self._stored(entry), entry, target, self.path.name)
            self._checked.add(path)
        return target

    def _stored(self, entry: m.FileEntry) -> Path:
        """Where the file lies as it is stored, unpacked and checked."""
        target = self.root / entry.path
        if self._zip is not None and not target.exists():
            self._unpack(self._zip, entry.path, target)
        if cache.digest(target) != entry.sha256:
            raise BundleError(f"{self.path.name}: {entry.path} is damaged (its sha256 differs)", "ask for the Bundle again")
        return target

    def _home(self, top: str) -> Path:
        """Where the files of one of the Bundle's folders are handed out from: where they lie, unless some of them are coded."""
        if top not in self._homes:
            files = [entry for name, entry in self.entries.items() if _top(name) == top]
            self._homes[top] = self._room(files) if any(entry.coded for entry in files) else self.root / top
        return self._homes[top]

    def _room(self, files: list[m.FileEntry]) -> Path:
        """The cache's folder for files of this content, else a temporary one."""
        kept = cache.room("decoded", *(text for entry in files for text in (entry.name.removeprefix(_top(entry.name)), entry.content_sha256)), size=sum(entry.content_size for entry in files))
        return kept or Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="torchport-")))

    def _open(self, stack: ExitStack) -> tuple[zipfile.ZipFile | None, Path]:
        """The archive of a zipped Bundle, and the folder that files are handed out from."""
        if self.path.is_dir():
            return None, self.path
        try:
            archive = stack.enter_context(zipfile.ZipFile(self.path))
        except FileNotFoundError as exc:
            raise BundleError(f"{self.path}: there is no such Bundle", MADE_BY) from exc
        except OSError as exc:
            raise BundleError(f"{self.path}: cannot be read ({exc.strerror or exc})", MADE_BY) from exc
        except DAMAGED as exc:
            raise BundleError(f"{self.path}: not a Bundle, or one that was cut off", MADE_BY) from exc
        return archive, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torchport-")))

    def _unpack(self, archive: zipfile.ZipFile, path: str, target: Path) -> None:
        try:
            with self._writing(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(path) as packed, target.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
        except DAMAGED as exc:
            raise BundleError(f"{self.path.name}: {path} cannot be unpacked ({exc})", "ask for the Bundle again") from exc

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError(f"{self.path.name}: {path} cannot be unpacked ({exc.strerror or exc})", "free some space, or set TMPDIR to a folder that has some") from exc

    def variant_folder(self, variant: m.Variant, graphs: Iterable[str]) -> Path:
        """The folder of a variant, with every file of the named graphs checked."""
        folder = f"variants/{variant.id}"
        for graph in graphs:
            for name in variant.artifact.graphs[graph].files:
                self.file(f"{folder}/{name}")
        return self._home(folder)

    def reference_folder(self) -> Path:
        """The folder of the eager reference, checked."""
        assert self.manifest.reference is not None, "the caller asks only where there is a reference"
        for graph in self.manifest.reference.graphs.values():
            for name in graph.files:
                self.file(f"reference/{name}")
        return self._home("reference")

    def facts(self) -> dict[str, Any]:
        """The task's facts; those that are files as Paths of the checked copies.

        Raises:
            BundleError: such a file is missing or damaged.
        """
        from ..tasks import assets

        return assets.attach(self.manifest.task.facts, self.file)

    def check_all(self) -> None:
        """Hash every listed file, as it is stored and what it decodes to."""
        for path, entry in self.entries.items():
            self._stored(entry)
            self.file(path)

    def _manifest_bytes(self) -> bytes:
        try:
            return self._zip.read(m.NAME) if self._zip else (self.root / m.NAME).read_bytes()
        except (OSError, KeyError, *DAMAGED) as exc:
            raise BundleError(f"{self.path.name}: no {m.NAME} inside", MADE_BY) from exc

    def _check_listing(self) -> None:
        if len(self.entries) != len(self.manifest.files):
            raise BundleError(f"{self.path.name}: {m.NAME} lists a file twice", "ask for the Bundle again")
        for name, entry in self.entries.items():
            check_inside(entry.path, self.path.name)
            check_inside(name, self.path.name)
            size = self._size(entry.path)
            if size is None:
                raise BundleError(f"{self.path.name}: {entry.path} is missing", "ask for the Bundle again")
            if size != entry.size:
                raise BundleError(f"{self.path.name}: {entry.path} has {size} bytes, {entry.size} are listed", "ask for the Bundle again")
        artifacts = {f"variants/{v.id}": v.artifact for v in self.manifest.variants}
        if self.manifest.reference is not None:
            artifacts["reference"] = self.manifest.reference
        for folder, artifact in artifacts.items():
            check_inside(folder, self.path.name)
            for name in {name for graph in artifact.graphs.values() for name in (graph.entry, *graph.files)}:
                check_inside(name, self.path.name)
                if f"{folder}/{name}" not in self.entries:
                    raise BundleError(f"{self.path.name}: {folder} names {name}, which is not listed", "ask for the Bundle again")

    def _size(self, path: str) -> int | None:
        if self._zip is not None:
            try:
                return self._zip.getinfo(path).file_size
            except KeyError:
                return None
        try:
            found = (self.root / path).lstat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{self.path.name}: {path} is a link or a device", "a Bundle holds plain files only: ask for it again")
        return found.st_size


def _top(path: str) -> str:
    """The folder whose files are handed out together: `variants/<id>`, `reference`, ...; empty for a file at the top."""
    folders = path.split("/")[:-1]
    return "/".join(folders[: 2 if folders[:1] == ["variants"] else 1])


def check_inside(path: str, where: str) -> None:
    """Refuse a listed path that could leave the Bundle."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0] or PurePosixPath(*parts).as_posix() != path:
        raise BundleError(f"{where}: the path '{path}' leaves the Bundle", "do not use this Bundle: ask for it from somebody you trust")
