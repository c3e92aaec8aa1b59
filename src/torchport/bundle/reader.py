"""Open a Bundle, folder or zip, and hand out its files only after checking them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..errors import BundleError, OutputError, UsageError
from ..system import cache
from ..system.disk import open_regular, temporary
from . import coding, grammar, rules
from . import manifest as m
from .zipped import DAMAGED, open_zip

MADE_BY = "give a .tport folder or file made by `torchport deploy`"


class Bundle:
    """An opened Bundle.

    Opening checks the whole manifest (`rules`), and that every listed path stays inside, is no link, is there and has
    its size; a file is hashed when it is first handed out. Nothing is ever written into a Bundle; a zip is unpacked,
    file by file, into a temporary folder, and coded files are decoded into the user's cache folder, or into a temporary
    one where there is none.

    Args:
        whole: whether every listed file must be there.

    Attributes:
        entries: what each listed file is called in the manifest -> its entry.

    Raises:
        BundleError: the Bundle is missing, damaged, unsafe or too new.
    """

    def __init__(self, path: str | Path, *, whole: bool = True) -> None:
        self.path = Path(path)
        self.name = grammar.printable(self.path.name) or "Bundle"
        self._checked: set[str] = set()
        self._homes: dict[str, Path] = {}
        self._modes: dict[Path, int] = {}
        with ExitStack() as stack:
            self._zip, self.root = self._open(stack)
            raw = self._manifest_bytes()
            self.digest = hashlib.sha256(raw).hexdigest()
            self.manifest = m.decode(raw, self.name)
            rules.check(self.manifest, self.name)
            self.entries = {entry.name: entry for entry in self.manifest.files}
            if whole:
                self._check_listing()
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
            raise BundleError(f"{self.name}: {path} is not listed in {m.NAME}", grammar.AGAIN)
        top = _top(path)
        home = self._home(top)
        target = home / path.removeprefix(f"{top}/")
        if target == self.root / entry.path:
            if path not in self._checked:
                self._stored(entry)
                self._checked.add(path)
        elif not (
            target.is_file()
            and target.stat().st_size == entry.content_size
            and cache.digest(target) == entry.content_sha256
        ):  # another process may have made room
            with self._writing(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                coding.bring(self._stored(entry), entry, target, self.name)
            cache.settle(home)
        return target

    def _stored(self, entry: m.FileEntry) -> Path:
        """Where the file lies as it is stored, unpacked and checked."""
        target = self.root / entry.path
        if self._zip is not None and not target.exists():
            self._unpack(self._zip, entry.path, target)
        if cache.digest(target) != entry.sha256:
            raise BundleError(f"{self.name}: {entry.path} is damaged (its sha256 differs)", grammar.AGAIN)
        return target

    def _home(self, top: str) -> Path:
        """Where the files of one of the Bundle's folders are handed out from: where they lie, unless some of them are
        coded.
        """
        if top not in self._homes:
            files = [entry for name, entry in self.entries.items() if _top(name) == top]
            self._homes[top] = self._room(files) if any(entry.coded for entry in files) else self.root / top
        return self._homes[top]

    def _room(self, files: list[m.FileEntry]) -> Path:
        """The cache's folder for files of this content, else a temporary one: the cache must hold all that this Bundle
        decodes at once.
        """
        key = [text for entry in files for text in (entry.name.removeprefix(_top(entry.name)), entry.content_sha256)]
        kept = cache.room(
            "decoded", *key, size=sum(entry.content_size for entry in self.entries.values() if entry.coded)
        )
        return kept or self._stack.enter_context(temporary())

    def _open(self, stack: ExitStack) -> tuple[zipfile.ZipFile | None, Path]:
        """The archive of a zipped Bundle, and the folder that files are handed out from."""
        shown = grammar.printable(str(self.path))
        try:
            if self.path.is_dir():
                return None, self.path
            archive = open_zip(stack.enter_context(open_regular(self.path)), self.name, grammar.MOST["files"] + 1)
        except FileNotFoundError as exc:
            raise BundleError(f"{shown}: there is no such Bundle", MADE_BY) from exc
        except OSError as exc:
            raise BundleError(f"{shown}: cannot be read ({exc.strerror or exc})", MADE_BY) from exc
        except DAMAGED as exc:
            raise BundleError(f"{shown}: not a Bundle, or one that was cut off", MADE_BY) from exc
        return archive, stack.enter_context(temporary())

    def _unpack(self, archive: zipfile.ZipFile, path: str, target: Path) -> None:
        try:
            with self._writing(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(path) as packed, target.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
        except DAMAGED as exc:
            raise BundleError(f"{self.name}: {path} cannot be unpacked ({exc})", grammar.AGAIN) from exc

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError(
                f"{self.name}: {path} cannot be unpacked ({exc.strerror or exc})",
                "free some space, or set TMPDIR to a folder that has some",
            ) from exc

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

    def facts(self) -> Any:
        """The task's facts, which the task has checked; those that are files as Paths of the checked copies.

        Raises:
            BundleError: such a file is missing or damaged, a fact has a value that it cannot have, or a step is none of
            the task's. MissingDependency: the task is not known here.
        """
        from ..tasks import assets, plan, tasks

        task = tasks.need(self.manifest.task.name)
        try:
            plan.host_steps(task, self.manifest.steps)
        except BundleError as exc:
            raise BundleError(f"{self.name}: {exc.message}", exc.hint) from exc
        try:
            return task.recorded(assets.attach(self.manifest.task.facts, self.file))
        except UsageError as exc:
            raise BundleError(f"{self.name}: the facts of task {task.name}: {exc.message}", grammar.AGAIN) from exc

    def check_all(self) -> None:
        """Hash every listed file, as it is stored and what it decodes to."""
        for path, entry in self.entries.items():
            self._stored(entry)
            self.file(path)

    def strange(self) -> str | None:
        """The first file, link or folder inside that is not listed; None where there is nothing else."""
        listed = {m.NAME, *(entry.path for entry in self.manifest.files)}
        if self._zip is not None:
            return next((name for name in self._zip.namelist() if name not in listed), None)
        folders = {parent for path in listed for parent in Path(path).parents}
        for place, inner, files in os.walk(self.root):
            for name in (*inner, *files):
                path = Path(place, name)
                known = (
                    path.relative_to(self.root) in folders
                    if name in inner
                    else path.relative_to(self.root).as_posix() in listed
                )
                if path.is_symlink() or not known:
                    return path.relative_to(self.root).as_posix()
        return None

    def _manifest_bytes(self) -> bytes:
        try:
            if self._zip is not None:
                size = self._zip.getinfo(m.NAME).file_size
                raw = b"" if size > grammar.MOST_BYTES else self._zip.read(m.NAME)
            else:
                with open_regular(self.root / m.NAME, follow=False) as file:
                    size = file.seek(0, 2)
                    file.seek(0)
                    raw = b"" if size > grammar.MOST_BYTES else file.read(size)
        except (FileNotFoundError, KeyError) as exc:
            raise BundleError(f"{self.name}: no {m.NAME} inside", MADE_BY) from exc
        except (OSError, *DAMAGED) as exc:
            said = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
            raise BundleError(f"{self.name}: {m.NAME} cannot be read as a plain file ({said})", MADE_BY) from exc
        if size > grammar.MOST_BYTES:
            raise BundleError(
                f"{self.name}: {m.NAME} has {size} bytes; at most {grammar.MOST_BYTES} are allowed", grammar.DISTRUST
            )
        return raw

    def _check_listing(self) -> None:
        for entry in self.manifest.files:
            size = self._size(entry.path)
            if size is None:
                raise BundleError(f"{self.name}: {entry.path} is missing", grammar.AGAIN)
            if size != entry.size:
                raise BundleError(f"{self.name}: {entry.path} has {size} bytes, {entry.size} are listed", grammar.AGAIN)

    def _size(self, path: str) -> int | None:
        """Bytes of a stored file, None where it is missing; every part of its path is looked at, for one may be a
        link.
        """
        if self._zip is not None:
            try:
                return self._zip.getinfo(path).file_size
            except KeyError:
                return None
        try:
            for folder in reversed((self.root / path).relative_to(self.root).parents):
                if folder.parts and not stat.S_ISDIR(self._folder_mode(folder)):
                    raise BundleError(
                        f"{self.name}: {folder.as_posix()} is a link or not a folder",
                        "a Bundle holds plain files and folders only: ask for it again",
                    )
            found = (self.root / path).lstat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(
                f"{self.name}: {path} is a link or a device", "a Bundle holds plain files only: ask for it again"
            )
        return found.st_size

    def _folder_mode(self, folder: Path) -> int:
        if folder not in self._modes:
            self._modes[folder] = (self.root / folder).lstat().st_mode
        return self._modes[folder]


def _top(path: str) -> str:
    """The folder whose files are handed out together: `variants/<id>`, `reference`, ...; empty for a file at the
    top.
    """
    folders = path.split("/")[:-1]
    return "/".join(folders[: 2 if folders[:1] == ["variants"] else 1])
