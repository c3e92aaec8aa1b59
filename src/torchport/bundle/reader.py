"""Open a Bundle, folder or zip, and hand out its files only after checking them."""

from __future__ import annotations

import hashlib
import stat
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from ..errors import BundleError
from . import manifest as m


class Bundle:
    """An opened Bundle.

    Opening checks that every listed path stays inside, is there and has its size; a file is hashed when it is first
    handed out. Nothing is ever written into a Bundle; a zip is unpacked, file by file, into a temporary folder.

    Raises:
        BundleError: the Bundle is missing, damaged, unsafe or too new.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        self._checked: set[str] = set()
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            self.root = self.path
        elif zipfile.is_zipfile(self.path):
            self._zip = self._stack.enter_context(zipfile.ZipFile(self.path))
            self.root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="torchport-")))
        else:
            raise BundleError(f"{self.path}: {'not a Bundle' if self.path.exists() else 'there is no such Bundle'}", "give a .tport folder or file made by `torchport deploy`")
        raw = self._manifest_bytes()
        self.digest = hashlib.sha256(raw).hexdigest()
        self.manifest = m.decode(raw, self.path.name)
        self.entries = {entry.path: entry for entry in self.manifest.files}
        self._check_listing()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the temporary folder of a zipped Bundle."""
        self._stack.close()

    def file(self, path: str) -> Path:
        """Where a listed file lies, its content checked against its sha256 the first time."""
        entry = self.entries.get(path)
        if entry is None:
            raise BundleError(f"{self.path.name}: {path} is not listed in {m.NAME}", "ask for the Bundle again")
        target = self.root / path
        if path not in self._checked:
            if self._zip is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._zip.open(path) as packed, target.open("wb") as out:
                    while chunk := packed.read(1 << 20):
                        out.write(chunk)
            if digest(target) != entry.sha256:
                raise BundleError(f"{self.path.name}: {path} is damaged (its sha256 differs)", "ask for the Bundle again")
            self._checked.add(path)
        return target

    def variant_folder(self, variant: m.Variant, graphs: Iterable[str]) -> Path:
        """The folder of a variant, with every file of the named graphs checked."""
        folder = f"variants/{variant.id}"
        for graph in graphs:
            for name in variant.artifact.graphs[graph].files:
                self.file(f"{folder}/{name}")
        return self.root / folder

    def reference_folder(self) -> Path:
        """The folder of the eager reference, checked."""
        assert self.manifest.reference is not None, "the caller asks only where there is a reference"
        for graph in self.manifest.reference.graphs.values():
            for name in graph.files:
                self.file(f"reference/{name}")
        return self.root / "reference"

    def check_all(self) -> None:
        """Hash every listed file."""
        for path in self.entries:
            self.file(path)

    def _manifest_bytes(self) -> bytes:
        try:
            return self._zip.read(m.NAME) if self._zip else (self.root / m.NAME).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as exc:
            raise BundleError(f"{self.path.name}: no {m.NAME} inside", "give a .tport folder or file made by `torchport deploy`") from exc

    def _check_listing(self) -> None:
        for path, entry in self.entries.items():
            check_inside(path, self.path.name)
            size = self._size(path)
            if size is None:
                raise BundleError(f"{self.path.name}: {path} is missing", "ask for the Bundle again")
            if size != entry.size:
                raise BundleError(f"{self.path.name}: {path} has {size} bytes, {entry.size} are listed", "ask for the Bundle again")
        for variant in self.manifest.variants:
            for graph in variant.artifact.graphs.values():
                for name in {graph.entry, *graph.files}:
                    check_inside(name, self.path.name)
                    if f"variants/{variant.id}/{name}" not in self.entries:
                        raise BundleError(f"{self.path.name}: variant {variant.id} names {name}, which is not listed", "ask for the Bundle again")

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


def check_inside(path: str, where: str) -> None:
    """Refuse a listed path that could leave the Bundle."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0] or PurePosixPath(*parts).as_posix() != path:
        raise BundleError(f"{where}: the path '{path}' leaves the Bundle", "do not use this Bundle: ask for it from somebody you trust")


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
